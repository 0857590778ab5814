"""Paired scores: PSNR and SSIM of an image-to-image translation model, over a data set of pairs."""

from __future__ import annotations

import torch
from torch import Tensor

from ganrun import __version__
from ganrun.common.errors import UserError
from ganrun.common.images import enlarged_to, to_uint8
from ganrun.common.seeding import Purpose, mix, reseed
from ganrun.common.types import Config
from ganrun.data.dataset import Dataset
from ganrun.data.loading.stream import Batch, prepare
from ganrun.evaluation.metrics.fidelity import psnr, ssim
from ganrun.evaluation.results import Result
from ganrun.systems.translation import PictureToPicture

BATCH = 32  # fixed: the damage depends on the seed and the number of the batch, so another size changes the scores


@torch.inference_mode()
def picture_scores(config: Config, system: PictureToPicture, data: Dataset, origin: Config, about: Config) -> Result:
    """The mean PSNR (decibels) and SSIM over the first `n` pairs. The references are the scores of the inputs.

    Raises UserError for other scores, for unpaired data, and when outputs and targets differ in size.
    """
    if config["scores"] and {*config["scores"]} - {"all"}:
        raise UserError(f"scores={config['scores'][0]}: a picture-to-picture run is scored by PSNR and SSIM alone")
    found: dict[str, list[Tensor]] = {"psnr": [], "ssim": [], "input_psnr": [], "input_ssim": []}
    count = min(config["n"], len(data))
    device = next(system.parameters()).device
    for number, indices in enumerate(torch.arange(count).split(BATCH)):
        reseed(mix(config["seed"], Purpose.DAMAGE), number)
        batch = prepared(data, indices, device)
        target, made = to_uint8(batch["target"]), to_uint8(system.translate(batch["source"]))
        if made.shape != target.shape:
            raise UserError("ckpt: the pictures that it makes do not have the size of their targets")
        given = enlarged_to(to_uint8(batch["source"]), target)
        for prefix, pictures in (("", made), ("input_", given)):
            for name, each in measured(pictures, target).items():
                found[f"{prefix}{name}"].append(each)
    means = {name: finite_mean(torch.cat(parts)) for name, parts in found.items() if parts}
    values = {name: value for name, value in means.items() if not name.startswith("input_")}
    inputs = {name: means[f"input_{name}"] for name in values}
    protocol = {**origin, "n_real": count, "n_fake": count, "network": None, "seed": config["seed"]}
    protocol["ganrun"] = __version__
    return Result(about, values, inputs, "the inputs themselves, enlarged (bicubic) to the target's size", protocol)


def prepared(data: Dataset, indices: Tensor, device: torch.device) -> Batch:
    """A batch of pairs: {"source", "target"}, (n, C, H, W) float in [-1, 1]. Raises UserError for unpaired data."""
    batch = data.transform(prepare(data.take(indices), device))
    if not {"source", "target"} <= batch.keys():
        raise UserError(
            "ckpt: its data are unpaired, so there are no targets to compare with: use ganrun apply, then "
            "ganrun eval real=PICTURES fake=WHAT_IT_MADE"
        )
    return batch


def measured(pictures: Tensor, targets: Tensor) -> dict[str, Tensor]:
    """Twice (N, C, H, W) uint8 -> {"psnr": (N,), "ssim": (N,)}, without SSIM when the pictures are too small for it."""
    x, y = (pixels.float() / 127.5 - 1 for pixels in (pictures, targets))
    found = {"psnr": psnr(x, y)}
    try:
        found["ssim"] = ssim(x, y)
    except ValueError:  # the pictures are smaller than SSIM's window of 11×11 pixels
        return found
    return found


def finite_mean(values: Tensor) -> float:
    """The mean of the finite values. PSNR is infinite for a picture that equals its target; inf when all do."""
    finite = values[values.isfinite()]
    return finite.mean().item() if len(finite) else float("inf")
