"""Crops: which part of a picture a batch shows, as whole numbers of pixels. This file does not import torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, NamedTuple

from ganrun.common.bounds import At, Pixels
from ganrun.data.inferred_size import Sides, height_by_width

Factor = Annotated[float, At(above=0, most=1)]
Crop = Annotated[Pixels | Sequence[Pixels], "a number of pixels, or [height, width]"]
CropScale = Annotated[
    Factor | tuple[Factor, Factor], "a number above 0 and up to 1, or [low, high] of two such numbers"
]
Small = Literal["enlarge", "pad", "skip"]

CENTRE = (0.0, 0.5, 0.5)  # the numbers of the crop that everything but training shows
DRAFTS = (8, 4, 2)  # how much smaller than itself a JPEG can be decoded


class Window(NamedTuple):
    """A rectangle of pixels. It reaches beyond the picture where this is to be padded."""

    top: int
    left: int
    height: int
    width: int

    def times(self, factor: int) -> Window:
        """The same part of a picture that is so many times as large."""
        return Window(*(factor * side for side in self))


@dataclass(frozen=True)
class Crops:
    """How pictures that keep their own size become crops of one size.

    size: (height, width) of a crop. scale: (low, high), between which the factor is drawn by which the picture is
    reduced before the crop is cut: a window of size / factor pixels is cut and brought to `size`. Where a picture is
    too small for such a window, the factor is that which makes the window fit. small: what becomes of a picture that
    is smaller than the crop even without any reduction.
    """

    size: Sides
    scale: tuple[float, float] = (1.0, 1.0)
    small: str = "enlarge"

    def is_small(self, sides: Sides) -> bool:
        return sides[0] < self.size[0] or sides[1] < self.size[1]

    def window(self, sides: Sides, numbers: Sequence[float] = CENTRE, reduced: int = 1) -> Window:
        """The part of a picture of (height, width) that becomes the crop.

        numbers: three of [0, 1), for the factor (0: the upper end of `scale`), the top and the left. reduced: how much
        smaller than the file's own the picture was decoded.
        """
        (height, width), (low, high) = self.size, self.scale
        if self.small == "pad" and self.is_small((sides[0] * reduced, sides[1] * reduced)):
            return Window(_start(sides[0], height, numbers[1]), _start(sides[1], width, numbers[2]), height, width)
        enlarged = (
            1 / (high - numbers[0] * (high - low)) / reduced
        )  # how many pixels of the picture one pixel stands for
        enlarged = min(enlarged, sides[0] / height, sides[1] / width)
        tall, wide = max(1, round(height * enlarged)), max(1, round(width * enlarged))
        return Window(_start(sides[0], tall, numbers[1]), _start(sides[1], wide, numbers[2]), tall, wide)

    def draft(self, sides: Sides) -> int:
        """By how much a JPEG of (height, width) may be reduced while it is decoded: no crop loses pixels by it."""
        most = min(1 / self.scale[1], sides[0] / self.size[0], sides[1] / self.size[1])
        return next((factor for factor in DRAFTS if factor <= most), 1)

    def over(self, factor: int) -> Crops:
        """The crops of pictures that are so many times smaller."""
        return replace(self, size=(self.size[0] // factor, self.size[1] // factor))


def _start(side: int, window: int, number: float) -> int:
    """Where a window begins: anywhere it fits; centred where it does not, so that both sides are padded alike."""
    room = side - window
    return int(number * (room + 1)) if room >= 0 else -(-room // 2)


def make_crops(
    crop: Crop | None, crop_scale: CropScale = 1, small: str = "enlarge", resize: str = "crop", rooted: bool = True
) -> Crops | None:
    """The settings of a data set, checked; None without a crop.

    rooted: whether the data set has picture files. Raises ValueError for settings that contradict each other.
    """
    low, high = (crop_scale, crop_scale) if isinstance(crop_scale, (int, float)) else tuple(crop_scale)
    if not 0 < low <= high <= 1:
        raise ValueError(f"dataset.crop_scale={shown(crop_scale)} must be [low, high] with 0 < low ≤ high ≤ 1")
    if small not in ("enlarge", "pad", "skip"):
        raise ValueError(f"dataset.small={small} must be one of enlarge, pad, skip")
    if crop is None:
        if (low, high) != (1, 1):
            raise ValueError(f"dataset.crop_scale={shown(crop_scale)} has no effect without dataset.crop: set both")
        return None
    if not rooted:
        raise ValueError(
            f"dataset.crop={shown(crop)} needs pictures of yours: the embedded digits are too small for it"
        )
    if resize != "crop":
        raise ValueError(f"dataset.resize={resize} has no effect with dataset.crop: leave one of them out")
    sides = (crop, crop) if isinstance(crop, int) else tuple(crop)
    if len(sides) != 2 or not all(isinstance(side, int) and side > 0 for side in sides):
        raise ValueError(f"dataset.crop={shown(crop)} must be a whole number of pixels or [height, width]")
    return Crops((sides[0], sides[1]), (float(low), float(high)), small)


def checked_size(crops: Crops, image_size: Crop | None) -> Sides:
    """The size of the crops. Raises ValueError where `image_size` says another one."""
    sides = (image_size, image_size) if isinstance(image_size, int) else tuple(image_size or crops.size)
    if sides != crops.size:
        raise ValueError(
            f"dataset.image_size={shown(image_size)}, but with dataset.crop={height_by_width(crops.size)} this is the "
            "size of the crops: leave dataset.image_size out, or change dataset.crop"
        )
    return crops.size


def with_crop(facts: Mapping[str, Any], crop: Crop | None) -> dict[str, Any]:
    """The facts of a data set; the pictures that its networks see have the size of the crop, if there is one."""
    if crop is None:
        return dict(facts)
    sides = [crop] if isinstance(crop, int) else list(crop)
    return {**facts, "image_size": sides[0] if len(set(sides)) == 1 else sides}


def shown(value: object) -> str:
    """A setting as a user writes it: (1.0, 0.5) -> "[1,0.5]"."""
    if isinstance(value, (list, tuple)):
        return f"[{','.join(map(shown, value))}]"
    return f"{value:g}" if isinstance(value, float) else str(value)
