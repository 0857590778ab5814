"""Fidelity: the scores of pictures that have an answer, for `ganrun eval`, `ganrun apply` and runs alike."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from ganrun.common.device import in_float64
from ganrun.common.errors import UserError, nearest
from ganrun.common.precision import ieee_float32
from ganrun.common.types import Config
from ganrun.data.dataset import Dataset
from ganrun.evaluation.metrics import fidelity
from ganrun.evaluation.metrics.fidelity import cropped, luma
from ganrun.evaluation.metrics.intervals import Interval, gain, interval
from ganrun.networks.lpips import LPIPS, open_lpips

NAMES = ("psnr", "psnr_y", "ssim", "ssim_y", "l1", "lpips")
OF_LUMA, LPIPS_NAME = ("psnr_y", "ssim_y"), "lpips"
UNITS = {"psnr": " dB", "psnr_y": " dB"}
AUTO = "auto"
WITHOUT_FILES = "give lpips.weights=[alexnet.pth,alex.pth]: torchvision's alexnet or vgg16, and the weights of LPIPS"


class Fidelity:
    """Compares pictures with their targets by the scores `names`; None: all that the pictures and files allow.

    channels: of the pictures. border: pixels that are cut off on each side; auto: the scale of a super-resolution,
    as papers do, else 0. weights: the two files of LPIPS, in either order. key: a prefix for messages, "hooks.scores.".
    Raises UserError for a score that is unknown or that these pictures cannot have, and for other files.
    """

    def __init__(
        self,
        names: Sequence[str] | None,
        channels: int,
        border: int | str = AUTO,
        weights: Sequence[str] | None = None,
        device: torch.device | None = None,
        key: str = "",
    ) -> None:
        self.border, self.device, self.key = border, device or torch.device("cpu"), key
        self.channels = channels
        named = None if names is None or list(names) == ["all"] else list(names)
        refuse_unknown(named or [], key)
        self.lpips: LPIPS | None = None
        self.files: list[str] = []
        if weights:
            self.lpips, self.files = self.opened(weights)
        colour = channels == 3
        possible = [name for name in NAMES if colour or name not in OF_LUMA]
        if self.lpips is None or channels not in (1, 3):
            possible.remove(LPIPS_NAME)
        for name in named or ():
            self.refuse_impossible(name, channels)
        self.names = possible if named is None else named

    def opened(self, weights: Sequence[str]) -> tuple[LPIPS, list[str]]:
        """The network, and the hashes of its files, sorted, because their order and names change nothing."""
        files = [weights] if isinstance(weights, str) else [str(file) for file in weights]
        try:
            network = open_lpips(files).to(self.device)
        except ValueError as error:
            raise UserError(f"{self.key}lpips.weights: {error}") from None
        return network, sorted(map(file_hash, files))

    def refuse_impossible(self, name: str, channels: int) -> None:
        if name in OF_LUMA and channels not in (1, 3):
            raise UserError(f"{self.key}scores={name}: the Y of {channels} channels is not known: it needs grey or RGB")
        if name == LPIPS_NAME and channels not in (1, 3):
            raise UserError(
                f"{self.key}scores={name} needs grey or colour pictures, and these have {channels} channels"
            )
        if name == LPIPS_NAME and self.lpips is None:
            raise UserError(f"{self.key}scores={name} needs its files: {WITHOUT_FILES}")

    def without(self) -> list[str]:
        """Says that lpips is left out because its files were not given."""
        return [] if self.lpips is not None else [f"no lpips: {WITHOUT_FILES}"]

    def settings(self) -> dict[str, Config]:
        """{score: what it alone depends on}, for the protocol."""
        return {LPIPS_NAME: {"network": self.lpips.kind, "lpips_weights": self.files}} if self.lpips is not None else {}

    def refuse_wide_border(self, size: tuple[int, int], scale: int) -> None:
        """Raises UserError where the border leaves nothing of targets of `size`, (height, width)."""
        try:
            cropped(torch.empty(1, 1, *size, device="meta"), self.pixels_cut(scale))
        except ValueError as error:
            raise UserError(f"{self.key}{error}") from None

    def pixels_cut(self, scale: int) -> int:
        """The border, where the targets are `scale` times as large as the inputs."""
        return int(self.border) if self.border != AUTO else scale if scale > 1 else 0

    @torch.no_grad()
    def __call__(self, pictures: Tensor, targets: Tensor, scale: int = 1) -> dict[str, Tensor]:
        """Twice (N, C, H, W) uint8, uint16, or float in [-1, 1] -> {score: (N,) float64, on the CPU}.

        Scores whose window or network needs larger pictures are missing. Raises UserError where the border is too wide.
        """
        try:
            cut = self.pixels_cut(scale)
            x, y = (cropped(signed(images), cut) for images in (pictures, targets))
        except ValueError as error:
            raise UserError(f"{self.key}{error}") from None
        found = {}
        for name in self.names:
            try:
                found[name] = self.score(name, x, y).double().cpu()
            except ValueError:  # the pictures are smaller than SSIM's window or than what the network of LPIPS needs
                continue
        return found

    def score(self, name: str, x: Tensor, y: Tensor) -> Tensor:
        if name == LPIPS_NAME:
            assert self.lpips is not None
            with ieee_float32(self.device):
                return self.lpips(x.float().to(self.device), y.float().to(self.device))
        if name in OF_LUMA:
            x, y, name = luma(x), luma(y), name.removesuffix("_y")
        return getattr(fidelity, name)(x, y)


def refuse_unknown(names: Sequence[str], key: str = "") -> None:
    """Raises UserError for a name that is none of NAMES."""
    for name in names:
        if name not in NAMES:
            raise UserError(
                f"{key}scores={name} is not a score of pictures with a target; {nearest(name, [*NAMES, 'all'])}"
            )


def signed(images: Tensor) -> Tensor:
    """Pictures of any depth -> float64 in [-1, 1], so that black to white is the same for each."""
    if images.is_floating_point():
        return in_float64(images)
    return in_float64(images) / (torch.iinfo(images.dtype).max / 2) - 1


def at_depth(images: Tensor, dtype: torch.dtype) -> Tensor:
    """Images in [-1, 1] -> float64 in [-1, 1], clipped and rounded to the levels that a file of `dtype` can store."""
    if dtype.is_floating_point:
        return in_float64(images).clamp(-1, 1)
    half = torch.iinfo(dtype).max / 2
    return ((in_float64(images) + 1) * half).round().clamp(0, 2 * half) / half - 1


def file_hash(file: str) -> str:
    """16 digits of the SHA-256 of a file."""
    with Path(file).expanduser().open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()[:16]


def fidelity_of(config: Config, data: Dataset, device: torch.device | None = None, key: str = "") -> Fidelity:
    """As the keys scores, border and lpips.weights of a config say, for pictures of `data`. Raises UserError."""
    weights = (config.get("lpips") or {}).get("weights")
    measure = Fidelity(config["scores"], data.channels, config.get("border", AUTO), weights, device, key)
    measure.refuse_wide_border(data.image_size, scale_of(data))
    return measure


def scale_of(data: Dataset) -> int:
    """How many times larger a target is than its source."""
    return int(getattr(data, "scale", None) or 1)


# -- over many pictures ---------------------------------------------------------------------------------------------


def finite(values: Sequence[float]) -> list[float]:
    """PSNR is infinite for a picture that equals its target."""
    return [value for value in values if math.isfinite(value)]


def mean_of(values: Sequence[float]) -> Interval:
    """The mean of the finite values with its 95 % interval; infinite when none is."""
    kept = finite(values)
    return interval(kept) if kept else Interval(math.inf, None)


def gain_of(values: Sequence[float], inputs: Sequence[float]) -> Interval:
    """The mean of the paired differences to the inputs, of the pictures for which both are finite; NaN for none."""
    both = [pair for pair in zip(values, inputs, strict=True) if all(map(math.isfinite, pair))]
    return gain(*zip(*both, strict=True)) if both else Interval(math.nan, None)
