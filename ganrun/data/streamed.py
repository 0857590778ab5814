"""Streamed: pictures that are not stored decoded. Each is decoded again whenever it is used."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator, Sequence
from itertools import repeat
from typing import Any, Protocol, Self

import numpy as np
import torch
from torch import Tensor

from ganrun.data.decode import Decoder, raise_if_machine_fault
from ganrun.data.listing import Listing
from ganrun.data.sources import IN_FULL, Picture

log = logging.getLogger(__name__)

FEW = 4  # pictures that a preview decodes
TRIES = 100  # after this number of broken pictures in a row, an OSError is raised


class Packed:
    """A sequence of `Picture`, stored in a few arrays.

    A list of ten million pictures would take gigabytes, and each worker process would have a copy.
    """

    def __init__(self, pictures: Sequence[Picture]) -> None:
        names = [picture.name.encode("utf-8", "surrogatepass") for picture in pictures]
        self.names = b"".join(names)
        self.ends = np.cumsum([0, *map(len, names)])
        self.numbers = np.array([picture[1:] for picture in pictures], np.int64)

    def __getitem__(self, i: int) -> Picture:
        name = self.names[self.ends[i] : self.ends[i + 1]].decode("utf-8", "surrogatepass")
        return Picture(name, *self.numbers[i].tolist())


class Names(Sequence[str]):
    """The names of pictures, stored as in `Packed`."""

    def __init__(self, pictures: Sequence[Picture]) -> None:
        self.packed = Packed(pictures)

    def __len__(self) -> int:
        return len(self.packed.numbers)

    def __getitem__(self, i: Any) -> Any:
        return self.packed[i].name


class Streamed:
    """Takes the place of a (N, C, H, W) uint8 tensor in `Dataset`, and decodes pictures when they are used.

    Item i consists of picture i of each listing; `shape` is that of the first listing.
    refuse: a broken picture raises OSError. Otherwise the next item that can be decoded is used, with a warning: of
    all items, or of those that `among` names.
    In a preview, only the first FEW items are decoded, and they are returned for all indices.
    """

    ndim = 4
    substitutes: np.ndarray | None = None  # sorted items, one of which takes the place of a broken one; None: any
    largest = 0  # bytes of the largest picture that a worker decodes, where pictures keep their own size
    nbytes = 0  # of memory; above 0 only in a preview
    workers: int | None  # processes that decode; None in a preview of a run that decodes all pictures at its start

    def __init__(self, listings: Sequence[Listing], decoders: Sequence[Decoder], refuse: bool, workers: int) -> None:
        self.sides = [
            (listing.source, Packed(listing.pictures), decoder)
            for listing, decoder in zip(listings, decoders, strict=True)
        ]
        self.shape = (len(listings[0]), decoders[0].channels, *decoders[0].size)
        self.dtype = torch.from_numpy(np.zeros(1, decoders[0].dtype)).dtype
        self.refuse, self.workers = refuse, workers
        self.told: set[int] = set()  # the broken items so far
        self.few: dict[int, tuple[int, list[np.ndarray]]] | None = None

    def as_preview(self, nbytes: int) -> Self:
        """Makes this object a preview, to plan a run. nbytes: the memory of the pictures in the run; 0: streamed."""
        self.few, self.nbytes, self.workers = {}, nbytes, None if nbytes else self.workers
        return self

    def among(self, rows: Tensor) -> Self:
        """The same items, of which only these (n,) `rows` take the place of broken ones. Warnings stay in common."""
        part = copy.copy(self)
        part.substitutes = np.unique(rows.cpu().numpy())
        part.few = None if self.few is None else {}
        return part

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, indices: Tensor) -> Tensor:
        """(N,) indices -> (N, C, H, W) uint8 of the first listing."""
        return self.read(indices)[0][0]

    def __iter__(self) -> Iterator[Tensor]:
        return (self[torch.tensor([i])][0] for i in range(len(self)))

    def read(self, indices: Tensor, keys: Sequence[int] | None = None) -> tuple[list[Tensor], Tensor]:
        """(N,) indices -> (N, C, H, W) uint8 images of each listing, and (N,) the indices that were really used.

        An index differs from the requested one when that item has a broken picture. keys: of each item's random
        numbers, where there are any.
        """
        rows = indices.tolist()
        found = [self.item(i, key) for i, key in zip(rows, keys or repeat(None, len(rows)), strict=True)]
        images = [torch.from_numpy(np.stack(side)) for side in zip(*(pixels for _, pixels in found), strict=True)]
        return images, torch.tensor([row for row, _ in found])

    def item(self, first: int, key: int | None = None) -> tuple[int, list[np.ndarray]]:
        """The index and the images of item `first`, or of the next item that can be decoded."""
        if self.few is None:
            return self.decoded(first, key)
        first %= FEW
        if first not in self.few:
            self.few[first] = self.decoded(first, key)
        return self.few[first]

    def decoded(self, first: int, key: int | None = None) -> tuple[int, list[np.ndarray]]:
        """`item` without the shortcut of a preview. Raises OSError after TRIES broken items in a row."""
        for i in self.after(first):
            try:
                return i, self.pixels(i, key)
            except Exception as error:  # for a damaged or hostile file, Pillow and zipfile may raise any exception
                raise_if_machine_fault(error)
                self.report(i, str(error) or type(error).__name__)
        raise OSError(f"{self.where}: {TRIES} images in a row cannot be read; the last was {self.name(i)!r}")

    def after(self, first: int) -> Iterator[int]:
        """TRIES items: `first` and those that take its place, one after another."""
        yield first
        if self.substitutes is None:
            yield from ((first + number) % len(self) for number in range(1, TRIES))
            return
        start = int(np.searchsorted(self.substitutes, first, "right"))
        for number in range(start, start + TRIES - 1):
            yield int(self.substitutes[number % len(self.substitutes)])

    def pixels(self, i: int, key: int | None) -> list[np.ndarray]:
        """The images of item i, which draw nothing at random here."""
        return [decoder(source.read(pictures[i])) for source, pictures, decoder in self.sides]

    def report(self, i: int, why: str) -> None:
        """Warns once for each broken item, at most IN_FULL times. Raises OSError when `refuse` is set."""
        if self.refuse:
            raise OSError(f"{self.where}: {self.name(i)!r} is broken, mend or delete it: {why}")
        if i not in self.told and len(self.told) < IN_FULL:
            log.warning("%r is broken, and the next one takes its place: %s", self.name(i), why)
        self.told.add(i)

    @property
    def where(self) -> str:
        """The setting that names the pictures, for messages."""
        return f"dataset.root={self.sides[0][0].root}"

    def name(self, i: int) -> str:
        return self.sides[0][1][i].name


class Drawn(Protocol):
    """What takes the place of a tensor of images: `read` gives the images of each view, and the indices used."""

    def read(self, indices: Tensor, keys: Sequence[int] | None = None) -> tuple[list[Tensor], Tensor]: ...


def picked(images: Tensor | Drawn, indices: Tensor, keys: Sequence[int] | None = None) -> tuple[Tensor, Tensor]:
    """(N,) indices -> (N, C, H, W) images, and (N,) the indices that were really used (see `Streamed.read`)."""
    if isinstance(images, Tensor):
        return images.index_select(0, indices), indices
    (found,), taken = images.read(indices, keys)
    return found, taken
