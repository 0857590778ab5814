"""Opened pictures: of a large one only the part that is wanted is converted and copied. No torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from PIL import Image

from ganrun.common import profiles
from ganrun.common.headers import ORIENTATION, TURNED, lies_on_its_side
from ganrun.common.pictures import open_picture
from ganrun.common.pixels import read_whole
from ganrun.data.channels import arranged
from ganrun.data.crops import Window
from ganrun.data.decode import Decoder, to_grey_or_rgb
from ganrun.data.inferred_size import Sides

Draft = Callable[[Sides], int]
Box = tuple[int, int, int, int]  # left, top, right, bottom

METHODS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class Whole(Protocol):
    """A picture in its own size. sides: (height, width). reduced: how much smaller than the file's it was decoded."""

    @property
    def sides(self) -> Sides: ...

    @property
    def reduced(self) -> int: ...

    def part(self, window: Window) -> np.ndarray:
        """(C, h, w): the pixels of a window that lies inside the picture."""
        ...


class Pixels:
    """A decoded picture, (C, H, W)."""

    def __init__(self, pixels: np.ndarray, reduced: int = 1) -> None:
        self.pixels, self.reduced = pixels, reduced

    @property
    def sides(self) -> Sides:
        return self.pixels.shape[1], self.pixels.shape[2]

    def part(self, window: Window) -> np.ndarray:
        top, left, height, width = window
        return self.pixels[:, top : top + height, left : left + width]


class Opened:
    """An encoded picture of 8 bits, grey or colour.

    Pillow decodes it once; the part is cut before it is turned and converted, so that no second copy of the whole
    picture is made. Raises any exception of Pillow for damaged data.
    """

    def __init__(self, data: bytes, channels: int, draft: Draft | None = None, to_srgb: bool = False) -> None:
        self.image, self.channels, self.to_srgb, self.reduced = open_picture(data), channels, to_srgb, 1
        if draft is not None and self.image.format == "JPEG":
            own = self.image.size
            factor = draft(own if lies_on_its_side(self.image) else (own[1], own[0]))
            self.image.draft(None, (own[0] // factor, own[1] // factor))
            self.reduced = round(own[0] / self.image.size[0])
        self.image.load()
        self.turn = self.image.getexif().get(ORIENTATION, 1)

    @property
    def sides(self) -> Sides:
        """As a viewer shows it, EXIF's turn done."""
        width, height = self.image.size
        return (width, height) if self.turn in TURNED else (height, width)

    def part(self, window: Window) -> np.ndarray:
        """(C, h, w) uint8."""
        cut = self.image.crop(box_before(self.turn, window, self.image.size))
        if self.turn in METHODS:
            cut = cut.transpose(METHODS[self.turn])
        if self.to_srgb:
            cut, _ = profiles.converted(cut)
        pixels = np.asarray(to_grey_or_rgb(cut, "L" if self.channels == 1 else "RGB"))
        return pixels.reshape(window.height, window.width, self.channels).transpose(2, 0, 1)


class Deep:
    """A decoded picture of any depth and channels; only the part is brought to those of the data set."""

    reduced = 1

    def __init__(self, data: bytes, decoder: Decoder) -> None:
        self.whole, self.decoder = read_whole(data, decoder.to_srgb), decoder

    @property
    def sides(self) -> Sides:
        return self.whole.values.shape[0], self.whole.values.shape[1]

    def part(self, window: Window) -> np.ndarray:
        """(C, h, w) of the decoder's type."""
        rows, columns = slice(window.top, window.top + window.height), slice(window.left, window.left + window.width)
        alpha = None if self.whole.alpha is None else self.whole.alpha[rows, columns]
        cut = self.whole._replace(values=self.whole.values[rows, columns], alpha=alpha)
        arranged_cut = arranged(cut, self.decoder.channels, self.decoder.dtype, self.decoder.span)
        return arranged_cut.transpose(2, 0, 1)


def opened(data: bytes, decoder: Decoder, draft: Draft | None = None) -> Whole:
    """The picture of an encoded file. draft: the factor by which a JPEG of (height, width) may be decoded smaller."""
    if decoder.is_plain(data):
        return Opened(data, decoder.channels, draft, decoder.to_srgb)
    return Deep(data, decoder)


def box_before(turn: int, window: Window, size: tuple[int, int]) -> Box:
    """Where a window of the shown picture lies in the stored one, whose (width, height) is `size`, by EXIF's turn."""
    (width, height), top, left = size, window.top, window.left
    bottom, right = top + window.height, left + window.width
    boxes: dict[int, Box] = {
        2: (width - right, top, width - left, bottom),
        3: (width - right, height - bottom, width - left, height - top),
        4: (left, height - bottom, right, height - top),
        5: (top, left, bottom, right),
        6: (top, height - right, bottom, height - left),
        7: (width - bottom, height - right, width - top, height - left),
        8: (width - bottom, left, width - top, right),
    }
    return boxes.get(turn, (left, top, right, bottom))


def whole_window(picture: Whole) -> Window:
    return Window(0, 0, *picture.sides)
