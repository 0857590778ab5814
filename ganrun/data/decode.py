"""One stored image to uint8 pixels: any mode, any orientation, cut to one size (no torch here)."""

from __future__ import annotations

import errno
import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from mmap import mmap
from multiprocessing import get_context
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from ganrun.common.pictures import open_picture
from ganrun.common.terminal import bar
from ganrun.data.listing import Listing, is_colour
from ganrun.data.loading.workers import FORKS, start_worker

BICUBIC = Image.Resampling.BICUBIC  # Pillow's is antialiased
BAR_FROM = 2000  # images; fewer are done before a bar is read
CHUNK = 64  # images a thread takes at a time

Fit = Callable[[Image.Image, tuple[int, int]], Image.Image]


def crop(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The largest centred part of the wanted proportions, scaled to (width, height)."""
    return ImageOps.fit(image, size, BICUBIC)


def squash(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The whole image, proportions be damned."""
    return image.resize(size, BICUBIC)


def pad(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The whole image in its proportions, centred on black."""
    return ImageOps.pad(image, size, BICUBIC)


FITS: dict[str, Fit] = {"crop": crop, "squash": squash, "pad": pad}


def halved(fit: Fit) -> Fit:
    """A fit for pictures side by side: each half is brought to half the width on its own."""

    def halves(image: Image.Image, size: tuple[int, int]) -> Image.Image:
        half, (width, height) = image.width // 2, size
        if not half:
            raise ValueError("one pixel wide: there are no two halves")
        both = Image.new(image.mode, size)
        for left, place in ((0, 0), (image.width - half, width // 2)):
            part = image.crop((left, 0, left + half, image.height))
            both.paste(fit(part, (width // 2, height)), (place, 0))
        return both

    halves.__name__ = f"{fit.__name__} halves"  # the cache tells fits apart by their names
    return halves


@dataclass(frozen=True)
class Decoder:
    """Encoded bytes -> (C, H, W) uint8."""

    channels: int  # 1 or 3
    size: tuple[int, int]  # (height, width)
    fit: Fit

    def __call__(self, data: bytes) -> np.ndarray:
        """Raises ValueError, or whatever Pillow raises, for what is not a whole image."""
        height, width = self.size
        with open_picture(data) as image:
            image.draft(None, (2 * max(self.size), 2 * max(self.size)))  # a large JPEG is decoded at 1/2, 1/4 or 1/8
            ImageOps.exif_transpose(image, in_place=True)
            fitted = self.fit(to_grey_or_rgb(image, "L" if self.channels == 1 else "RGB"), (width, height))
        return np.asarray(fitted).reshape(height, width, self.channels).transpose(2, 0, 1)


def decode_whole(data: bytes, channels: int) -> tuple[np.ndarray, bool]:
    """Encoded bytes -> (C, H, W) uint8 of the picture's own size, and whether it was stored in colour.

    Raises ValueError, or whatever Pillow raises, for what is not a whole image.
    """
    with open_picture(data) as image:
        colour = is_colour(image)
        pixels = np.asarray(to_grey_or_rgb(ImageOps.exif_transpose(image), "L" if channels == 1 else "RGB"))
    return pixels.reshape(*pixels.shape[:2], channels).transpose(2, 0, 1), colour


def to_grey_or_rgb(image: Image.Image, mode: str) -> Image.Image:
    """Any image as "L" or "RGB": 16 bits scaled to 8, transparency laid on white, palettes and CMYK looked up."""
    if image.mode.startswith("I"):  # 16 bits, which Pillow would clip at 255
        wide = np.asarray(image).clip(0, 65535).astype(np.int32)
        image = Image.fromarray(((wide + 128) // 257).astype(np.uint8))
    elif image.mode == "F":
        raise ValueError("floating-point pixels have no agreed range")
    elif image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image if image.mode == mode else image.convert(mode)


MACHINES = {errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOSPC, getattr(errno, "ESTALE", errno.EIO)}


def raise_if_machine_fault(error: Exception) -> None:
    """Raises OSError where the disk, the network or the memory failed and not the picture, which may be sound."""
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno in MACHINES):
        raise OSError(getattr(error, "errno", None) or errno.ENOMEM, f"a picture could not be read: {error}") from None


@dataclass
class Filling:
    """Decodes the pictures from `start` on into their places of `out`: how many, and {index: what is wrong}."""

    listing: Listing
    decoder: Decoder
    out: np.ndarray

    def __call__(self, start: int) -> tuple[int, dict[int, str]]:
        source, pictures = self.listing.source, self.listing.pictures
        broken: dict[int, str] = {}
        chunk = range(start, min(start + CHUNK, len(pictures)))
        for i in chunk:
            try:
                self.out[i] = self.decoder(source.read(pictures[i]))
            except Exception as error:  # a damaged or hostile file makes Pillow and zipfile raise anything
                raise_if_machine_fault(error)
                broken[i] = str(error) or type(error).__name__
        return len(chunk), broken


def decode_all(listing: Listing, decoder: Decoder, out: np.ndarray) -> dict[int, str]:
    """Fills `out` (N, C, H, W) uint8 with the listing's images; returns {index: what is wrong} of the broken ones.

    Many are decoded by processes, to which small pictures give more to do than to threads: `out` must be memory that
    forked processes share (`shared`, or the map of a file). Raises OSError when one of them was killed.
    """
    count, broken = len(listing), {}
    shown: Any = bar(total=count, desc="decoding", unit="img", disable=quiet(count), leave=False)
    try:
        with shown, pool(Filling(listing, decoder, out)) as fillings:
            for done, faults in fillings(range(0, count, CHUNK)):
                broken.update(faults)
                shown.update(done)
    except BrokenExecutor:
        raise OSError("a process that decoded pictures was killed; was there too little memory?") from None
    return dict(sorted(broken.items()))


@contextmanager
def pool(fill: Filling) -> Iterator[Callable[[Iterable[int]], Iterable[tuple[int, dict[int, str]]]]]:
    """Something like `map` with the filling, on all cores."""
    cores = os.cpu_count() or 1
    if len(fill.listing) <= BAR_FROM or not FORKS or cores == 1:
        with ThreadPoolExecutor(cores) as threads:
            yield partial(threads.map, fill)
        return
    with ProcessPoolExecutor(cores, get_context(FORKS), initializer=begin, initargs=(fill,)) as processes:
        yield partial(processes.map, filled)


def begin(fill: Filling) -> None:
    """What a forked process is to do reaches it as it is: nothing is packed."""
    start_worker()
    FILLING.append(fill)


FILLING: list[Filling] = []


def filled(start: int) -> tuple[int, dict[int, str]]:
    return FILLING[-1](start)


def shared(shape: tuple[int, ...]) -> np.ndarray:
    """Memory for uint8 that processes forked from this one write to as well."""
    return np.frombuffer(mmap(-1, max(1, math.prod(shape))), np.uint8, math.prod(shape)).reshape(shape)


def quiet(count: int) -> bool:
    """Is a progress bar out of place?"""
    return count <= BAR_FROM or not sys.stderr.isatty()
