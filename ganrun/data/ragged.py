"""Ragged: pictures of different sizes in one flat array, in memory or memory-mapped in the cache. No torch."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, BinaryIO

import numpy as np

from ganrun.data.cache import FORMAT, Cache, map_of
from ganrun.data.crops import Crops
from ganrun.data.decode import Decoder, decode_all, shared
from ganrun.data.listing import Listing
from ganrun.data.opened import Pixels, Whole, opened, whole_window

DEEP = 10  # copies of a picture of 16 bits while its file is read: measured, .png and .tif of 3,000×3,000 pixels


class Ragged:
    """Decoded pictures (C, H, W), one after another in `flat`.

    shapes: (N, 3) int64, height, width and how much smaller than its file the picture was decoded. starts: (N,) where
    each begins in `flat`.
    """

    def __init__(self, flat: np.ndarray, starts: np.ndarray, shapes: np.ndarray, channels: int) -> None:
        self.flat, self.starts, self.shapes, self.channels = flat, starts, shapes, channels

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, i: int) -> Pixels:
        height, width, reduced = self.shapes[i].tolist()
        start = int(self.starts[i])
        pixels = self.flat[start : start + self.channels * height * width]
        return Pixels(pixels.reshape(self.channels, height, width), reduced)

    def __setitem__(self, i: int, picture: Whole) -> None:
        """Raises ValueError for a picture that does not have the number of pixels for which there is room."""
        end = self.starts[i + 1] if i + 1 < len(self) else len(self.flat)
        height, width = picture.sides
        if end - self.starts[i] != self.channels * height * width:
            raise ValueError("its size is not the one that its head says")
        self.shapes[i] = height, width, picture.reduced
        self[i].pixels[:] = picture.part(whole_window(picture))

    def pick(self, rows: list[int]) -> Ragged:
        """These pictures only; nothing is copied."""
        return Ragged(self.flat, self.starts[rows], self.shapes[rows], self.channels)

    @property
    def nbytes(self) -> int:
        return int(self.flat.nbytes)


@dataclass
class WholeDecoder:
    """Decodes files to pictures in their own size; a JPEG smaller where no crop would notice."""

    decoder: Decoder
    crops: Crops
    drafts: bool

    def __call__(self, data: bytes) -> Whole:
        return opened(data, self.decoder, self.crops.draft if self.drafts else None)

    @property
    def dtype(self) -> Any:
        return np.dtype(self.decoder.dtype)

    def sides(self, sizes: np.ndarray) -> np.ndarray:
        """(N, 3) of `measured` -> (N, 2) the height and width to which each is decoded."""
        if not self.drafts or self.crops.scale[1] > 1 / 2:
            return sizes[:, :2]
        factors = [self.crops.draft((row[0], row[1])) if row[2] else 1 for row in sizes.tolist()]
        return -(-sizes[:, :2] // np.array(factors, np.int64)[:, None])

    def starts(self, sizes: np.ndarray) -> tuple[np.ndarray, int]:
        """(N,) where each picture begins in a flat array, and the length of the array."""
        ends = np.cumsum(self.decoder.channels * self.sides(sizes).prod(1))
        return np.concatenate([[0], ends[:-1]]), int(ends[-1])

    def nbytes(self, sizes: np.ndarray) -> int:
        return self.starts(sizes)[1] * int(self.dtype.itemsize)

    def largest(self, sizes: np.ndarray) -> int:
        """Bytes that a worker takes for the largest picture while it decodes it."""
        channels = self.decoder.channels
        plain = self.dtype == np.uint8 and channels in (1, 3)  # Pillow has four bytes for a pixel of colour
        each = (1 if channels == 1 else 4) if plain else DEEP * self.dtype.itemsize * channels
        return int(self.sides(sizes).prod(1).max(initial=0)) * int(each)


def ragged(listing: Listing, whole: WholeDecoder, sizes: np.ndarray) -> tuple[Ragged, dict[int, str]]:
    """The pictures in memory, and {index: error message} of the broken ones, whose rows are empty."""
    starts, length = whole.starts(sizes)
    flat = shared((length * whole.dtype.itemsize,)).view(whole.dtype)
    pictures = Ragged(flat, starts, shared_shapes(len(listing)), whole.decoder.channels)
    return pictures, decode_all(listing, whole, pictures)


def shared_shapes(count: int) -> np.ndarray:
    """(N, 3) int64 zeros in memory that this process and those forked from it share."""
    return shared((count * 24,)).view(np.int64).reshape(count, 3)


@dataclass
class RaggedCache(Cache):
    """A cache entry whose .npy is flat; the manifest has the shapes of the pictures."""

    sizes: np.ndarray = field(default_factory=lambda: np.zeros((0, 3), np.int64))
    whole: WholeDecoder | None = None

    @cached_property
    def fingerprint(self) -> str:
        assert self.whole is not None
        files = [picture[:3] for picture in self.listing.pictures]
        sides = hashlib.sha256(self.whole.sides(self.sizes).tobytes()).hexdigest()
        made = [FORMAT, "ragged", self.decoder.channels, self.whole.dtype.str, sides, files]
        made += self.decoder.numbers
        return hashlib.sha256(json.dumps(made).encode()).hexdigest()

    @property
    def bytes_of_all(self) -> int:
        assert self.whole is not None
        return self.whole.nbytes(self.sizes)

    def pictures(self) -> tuple[Ragged, dict[int, str]]:
        """`load` as `Ragged`."""
        assert self.whole is not None
        flat, faults = self.load()
        return Ragged(flat, self.whole.starts(self.sizes)[0], self.shapes, self.decoder.channels), faults

    def checked(self, images: np.ndarray, manifest: dict[str, Any], faults: dict[int, str]) -> None:
        assert self.whole is not None
        shapes = np.array(manifest["shapes"], np.int64).reshape(-1, 3)
        good = np.array([i not in faults for i in range(len(shapes))], bool)
        room = self.whole.sides(self.sizes).prod(1)
        fits = len(shapes) == len(self.listing) and bool((shapes[good, :2].prod(1) == room[good]).all())
        if not fits or images.dtype != self.whole.dtype or images.shape != (self.whole.starts(self.sizes)[1],):
            raise ValueError("not the images of this listing")
        self.shapes = shapes

    def decode(self, file: BinaryIO) -> dict[int, str]:
        assert self.whole is not None
        starts, length = self.whole.starts(self.sizes)
        flat = map_of(file, (length,), self.whole.dtype)
        pictures = Ragged(flat, starts, shared_shapes(len(self.listing)), self.decoder.channels)
        faults = decode_all(self.listing, self.whole, pictures)
        flat.flush()
        self.shapes = pictures.shapes
        return faults

    def facts(self) -> dict[str, Any]:
        return {"shapes": self.shapes.tolist()}
