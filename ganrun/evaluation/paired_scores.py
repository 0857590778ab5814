"""Paired scores: how close an image-to-image model comes to its targets, over a data set of pairs."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from ganrun import __version__
from ganrun.common.atomic import make_folder, write_text
from ganrun.common.errors import UserError
from ganrun.common.images import KERNEL, bicubic
from ganrun.common.seeding import Purpose, mix, reseed
from ganrun.common.types import Config
from ganrun.common.untrusted import printable
from ganrun.data.dataset import Dataset, chosen
from ganrun.data.loading.stream import Batch, prepare
from ganrun.evaluation.fidelity import at_depth, fidelity_of, gain_of, mean_of, scale_of
from ganrun.evaluation.results import Result
from ganrun.systems.drawing import device_of
from ganrun.systems.translation import PictureToPicture

BATCH = 32  # fixed: the damage depends on the seed and the number of the batch, so another size changes the scores
PIXELS = BATCH * 256 * 256  # of targets that the model makes at once
REFERENCE = f"the inputs themselves, enlarged ({KERNEL}) to the target's size"
INPUT = "input_"

Table = dict[str, list[float]]  # {score: the value of each picture}


class PairedScorer:
    """Scores a model on `n` pairs of `data`, a fixed random subset; the scores of the inputs are computed once.

    config: n, seed, scores, border and lpips.weights, as in conf/eval.yaml. origin: entries of the protocol. key: a
    prefix for messages, such as "hooks.scores.".
    Raises UserError for unpaired data, and for a score that is unknown or that these data cannot have.
    """

    def __init__(self, config: Config, data: Dataset, origin: Config, device: torch.device, key: str = "") -> None:
        require_pairs(data, config["scores"], key)
        self.measure = fidelity_of(config, data, device, key)
        self.data, self.seed = data, config["seed"]
        self.chosen = chosen(len(data), config["n"])  # a sorted folder begins with pictures of one class
        self.notes = self.measure.without() if config["scores"] is None else []
        self.scale = scale_of(data)
        count = len(self.chosen)
        about = {"n_real": count, "n_fake": count, "network": None, "seed": self.seed}
        about |= {"border": self.measure.pixels_cut(self.scale)} | ({"enlarged": KERNEL} if self.scale > 1 else {})
        self.protocol = {**origin, **about, "ganrun": __version__}
        self.inputs: Table = {}

    def rows(self, system: PictureToPicture) -> tuple[Table, Table]:
        """{score: a value for each picture} of what the model makes, and of its inputs.

        Raises UserError when outputs and targets differ in size.
        """
        found: Table = {}
        known, device = bool(self.inputs), device_of(system)
        for number, indices in enumerate(self.chosen.split(BATCH)):
            reseed(mix(self.seed, Purpose.DAMAGE), number)
            batch, dtype = paired_batch(self.data, indices, device)
            source, target, made = (
                at_depth(images, dtype) for images in (batch["source"], batch["target"], translated(system, batch))
            )
            if made.shape != target.shape:
                raise UserError("ckpt: the pictures that it makes do not have the size of their targets")
            add(found, self.measure(made, target, self.scale))
            if not known:
                given = at_depth(bicubic(source, target), dtype)
                add(self.inputs, self.measure(given, target, self.scale))
        return found, self.inputs

    @torch.inference_mode()
    def score(self, system: PictureToPicture, about: Config) -> tuple[Result, str]:
        """The means with their intervals, and a .csv with a row for each picture."""
        found, inputs = self.rows(system)
        own = {name: mean_of(values) for name, values in found.items()}
        result = Result(
            about,
            {name: value.mean for name, value in own.items()},
            {name: mean_of(inputs[name]).mean for name in own},
            REFERENCE,
            self.protocol,
            self.measure.settings(),
            {name: value.half for name, value in own.items() if value.half is not None},
            {name: gain_of(values, inputs[name]) for name, values in found.items()},
        )
        return result, as_csv(found, inputs, names_of(self.data, self.chosen))


def picture_scores(
    config: Config, system: PictureToPicture, data: Dataset, origin: Config, about: Config
) -> tuple[Result, str, list[str]]:
    """The scores of one model, a .csv of each picture, and notes. Raises UserError as `PairedScorer` does."""
    scorer = PairedScorer(config, data, origin, device_of(system))
    return *scorer.score(system, about), scorer.notes


def require_pairs(data: Dataset, scores: Sequence[str] | None, key: str = "") -> None:
    """Raises UserError for data without targets."""
    if has_pairs(data):
        return
    asked = f"{key}scores={scores[0]}" if scores else key.rstrip(".") or "ckpt"
    raise UserError(
        f"{asked}: its data are unpaired, so there are no targets to compare with: use ganrun apply, then "
        "ganrun eval real=PICTURES fake=WHAT_IT_MADE"
    )


def has_pairs(data: Dataset) -> bool:
    return "target" in data.take(torch.tensor([0], device=data.device))


def paired_batch(data: Dataset, indices: Tensor, device: torch.device) -> tuple[Batch, torch.dtype]:
    """{"source": (n, C, h, w), "target": (n, C, H, W)}, float in [-1, 1], and the type in which targets are stored."""
    taken = data.take(indices)
    return data.transform(prepare(taken, device)), taken["target"].dtype


def translated(system: PictureToPicture, batch: Batch) -> Tensor:
    """(n, C, H, W) translations of the sources, in as many parts as large targets need."""
    count = max(1, -(-batch["target"][:, 0].numel() // PIXELS))
    return torch.cat(
        [system.translate(part) for part in batch["source"].tensor_split(min(count, len(batch["source"])))]
    )


def add(found: Table, measured: Mapping[str, Tensor]) -> None:
    for name, values in measured.items():
        found.setdefault(name, []).extend(values.tolist())


def names_of(data: Dataset, rows: Tensor) -> list[str]:
    """The files of the pictures at (n,) `rows` where they are known, else their numbers in the data."""
    names = data.names
    return [names[number] if len(names) == len(data) else str(number) for number in rows.tolist()]


def as_csv(found: Table, inputs: Table, names: Sequence[str]) -> str:
    """picture,psnr,…,input_psnr,…: a row for each picture. The PSNR of a picture that equals its target is inf."""
    columns = {**found, **{f"{INPUT}{name}": inputs[name] for name in found}}
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["picture", *columns])
    rows.writerows([printable(name), *row] for name, row in zip(names, cells(columns), strict=True))
    return text.getvalue()


def cells(columns: Table) -> Iterator[list[str]]:
    for row in zip(*columns.values(), strict=True):
        yield ["" if math.isnan(value) else f"{value:.6g}" for value in row]


def write_csv(text: str, path: Path, inside: Path | None = None) -> None:
    """Raises OSError."""
    if inside is None:
        make_folder(path.parent)
    write_text(path, text, inside)
