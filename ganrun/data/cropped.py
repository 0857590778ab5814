"""Cropped: pictures of their own sizes take the place of a tensor in `Dataset`, and are cut when they are used."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ganrun.common.seeding import mix
from ganrun.data.crops import CENTRE, Crops, Window
from ganrun.data.inferred_size import Sides
from ganrun.data.listing import Listing
from ganrun.data.opened import Whole
from ganrun.data.ragged import Ragged, WholeDecoder
from ganrun.data.streamed import Streamed

UNIT = 2.0**-63  # `mix` returns whole numbers of 63 bits


class View(NamedTuple):
    """One of the pictures of an item: which file has it, which half of the file it is, and how large it is.

    factor: how many times larger than the smallest picture of the item; crops lie on that picture's grid of pixels.
    """

    file: int = 0
    half: str = ""  # "left", "right" or "" for all of it
    factor: int = 1

    def sides(self, sides: Sides) -> Sides:
        return (sides[0], sides[1] // 2) if self.half else sides

    def left(self, sides: Sides) -> int:
        """The column at which the view begins."""
        return sides[1] - sides[1] // 2 if self.half == "right" else 0


class Cut(NamedTuple):
    """How the pictures of an item are cut: `grid` are the crops of its smallest picture."""

    grid: Crops
    views: tuple[View, ...] = (View(),)

    def size(self, view: View) -> Sides:
        return self.grid.size[0] * view.factor, self.grid.size[1] * view.factor

    def __call__(self, picture: Whole, view: View, key: int | None) -> np.ndarray:
        """(C, h, w) of one view of a decoded file. key: of the item's random numbers; None cuts the centre."""
        height, width = view.sides(picture.sides)
        numbers = CENTRE if key is None else [mix(key, number) * UNIT for number in range(3)]
        window = self.grid.window((height // view.factor, width // view.factor), numbers, picture.reduced)
        window = window.times(view.factor)
        inside = Window(max(0, window.top), max(0, window.left), min(height, window.height), min(width, window.width))
        found = picture.part(inside._replace(left=inside.left + view.left(picture.sides)))
        return in_size(padded(found, window, inside), self.size(view))


def padded(pixels: np.ndarray, window: Window, inside: Window) -> np.ndarray:
    """The pixels of a window, black where it lies outside of the picture."""
    if (window.height, window.width) == (inside.height, inside.width):
        return pixels
    above, before = inside.top - window.top, inside.left - window.left
    below, after = window.height - inside.height - above, window.width - inside.width - before
    black = -1 if pixels.dtype.kind == "f" else 0  # floats are in [-1, 1] already
    return np.pad(pixels, ((0, 0), (above, below), (before, after)), constant_values=black)


def in_size(pixels: np.ndarray, size: Sides) -> np.ndarray:
    """(C, h, w) -> (C, *size) of the same dtype: bicubic with antialiasing, as Pillow does it."""
    if pixels.shape[1:] == size:
        return pixels
    narrow = pixels.dtype == np.uint8  # torch resizes these as they are, but nothing between them and floats
    images = torch.from_numpy(np.ascontiguousarray(pixels if narrow else pixels.astype(np.float32)))[None]
    found = F.interpolate(images, size=size, mode="bicubic", antialias=True)[0].numpy()
    if narrow:
        return found
    if pixels.dtype.kind == "f":
        return found.clip(-1, 1)
    limits = np.iinfo(pixels.dtype)
    return found.round().clip(limits.min, limits.max).astype(pixels.dtype)


class CroppedStore:
    """Crops of decoded pictures, which lie in memory or in the cache.

    files: for each file of an item, its pictures. `shape` and `dtype` are those of the first view.
    """

    ndim, workers = 4, None

    def __init__(self, files: Sequence[Ragged], cut: Cut) -> None:
        self.files, self.cut = list(files), cut
        self.shape = (len(files[0]), files[0].channels, *cut.size(cut.views[0]))
        self.dtype = torch.from_numpy(np.zeros(1, files[0].flat.dtype)).dtype
        self.nbytes = sum(file.nbytes for file in self.files)

    @property
    def mapped(self) -> bool:
        """Whether the pictures lie in memory-mapped files, of which only what is used is read."""
        return all(isinstance(file.flat, np.memmap) for file in self.files)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, indices: Tensor) -> Tensor:
        """(N,) indices -> (N, C, h, w): the centres of the first view."""
        return self.read(indices)[0][0]

    def __iter__(self) -> Iterator[Tensor]:
        return (self[torch.tensor([i])][0] for i in range(len(self)))

    def read(self, indices: Tensor, keys: Sequence[int] | None = None) -> tuple[list[Tensor], Tensor]:
        """(N,) indices, a key for each -> (N, C, H, W) crops of each view, and the indices.

        Without keys, the crops are those from the centre.
        """
        rows = indices.tolist()
        asked = [*zip(rows, keys or itertools.repeat(None, len(rows)), strict=True)]
        return [
            torch.from_numpy(np.stack([self.cut(self.files[view.file][i], view, key) for i, key in asked]))
            for view in self.cut.views
        ], indices


class CroppedStream(Streamed):
    """Crops of pictures that are decoded when they are used: one whole picture is in memory at a time."""

    def __init__(
        self,
        listings: Sequence[Listing],
        wholes: Sequence[WholeDecoder],
        cut: Cut,
        refuse: bool,
        workers: int,
        largest: int,
    ) -> None:
        super().__init__(listings, [whole.decoder for whole in wholes], refuse, workers)
        self.wholes, self.cut, self.largest = list(wholes), cut, largest
        self.shape = (len(listings[0]), wholes[0].decoder.channels, *cut.size(cut.views[0]))
        self.dtype = torch.from_numpy(np.zeros(1, wholes[0].dtype)).dtype

    def pixels(self, i: int, key: int | None) -> list[np.ndarray]:
        found: dict[View, np.ndarray] = {}
        for number, ((source, pictures, _), whole) in enumerate(zip(self.sides, self.wholes, strict=True)):
            picture = whole(source.read(pictures[i]))
            found |= {view: self.cut(picture, view, key) for view in self.cut.views if view.file == number}
            del picture  # before the next one is decoded
        return [found[view] for view in self.cut.views]
