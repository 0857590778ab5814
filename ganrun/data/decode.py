"""Decodes image files of any mode, depth and orientation to pixels of one size. This file does not import torch."""

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
from typing import Any, Protocol

import numpy as np
from PIL import Image, ImageOps

from ganrun.common import profiles
from ganrun.common.headers import is_array, is_colour, needs_library
from ganrun.common.pictures import open_picture
from ganrun.common.pixels import read_whole
from ganrun.common.terminal import bar
from ganrun.data.channels import Span, arranged
from ganrun.data.listing import Listing
from ganrun.data.loading.workers import FORKS, start_worker

BICUBIC = Image.Resampling.BICUBIC  # Pillow antialiases when it reduces an image
BAR_FROM = 2000  # images; fewer are decoded before a user has read a progress bar
UINT8 = np.dtype(np.uint8)
CHUNK = 64  # images that a thread or a process decodes at a time

Fit = Callable[[Image.Image, tuple[int, int]], Image.Image]


def crop(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Cuts the largest central part with the wanted aspect ratio, and scales it to (width, height)."""
    return ImageOps.fit(image, size, BICUBIC)


def squash(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Scales the whole image to (width, height), even if its aspect ratio changes."""
    return image.resize(size, BICUBIC)


def pad(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Scales the whole image with its aspect ratio, and fills the rest of (width, height) with black on both sides."""
    return ImageOps.pad(image, size, BICUBIC)


FITS: dict[str, Fit] = {"crop": crop, "squash": squash, "pad": pad}


def halved(fit: Fit) -> Fit:
    """A fit for two pictures side by side in one file: `fit` is applied to each half separately."""

    def halves(image: Image.Image, size: tuple[int, int]) -> Image.Image:
        half, (width, height) = image.width // 2, size
        if not half:
            raise ValueError("it is one pixel wide and cannot be divided into two halves")
        both = Image.new(image.mode, size)
        for left, place in ((0, 0), (image.width - half, width // 2)):
            part = image.crop((left, 0, left + half, image.height))
            both.paste(fit(part, (width // 2, height)), (place, 0))
        return both

    halves.__name__ = f"{fit.__name__} halves"  # the name of the fit is part of the cache's fingerprint
    return halves


@dataclass(frozen=True)
class Decoder:
    """Decodes an image file: encoded bytes -> (C, H, W) of one type.

    dtype: uint8, uint16, or float32 in [-1, 1]. span: the numbers that are black and white, for float32 alone.
    to_srgb: colours of another profile are converted. channels: as `arranged` has them.
    """

    channels: int
    size: tuple[int, int]  # (height, width)
    fit: Fit
    dtype: np.dtype = UINT8
    span: Span | None = None
    to_srgb: bool = False

    @property
    def item_bytes(self) -> int:
        """Of a decoded picture."""
        return math.prod((self.channels, *self.size)) * self.dtype.itemsize

    @property
    def numbers(self) -> list[object]:
        """What else decides the numbers of a picture, for the fingerprint of a cache; [] for 8 bits as they are."""
        special = self.dtype != np.uint8 or self.to_srgb
        return [self.dtype.str, self.span, self.to_srgb] if special else []

    def __call__(self, data: bytes) -> np.ndarray:
        """Raises ValueError, or any exception of Pillow or tifffile, when the bytes are not a complete image."""
        height, width = self.size
        if not self.is_plain(data):
            made = fitted(self.arranged(data), self.fit, (width, height)).transpose(2, 0, 1)
            return made.clip(-1, 1) if self.dtype == np.float32 else made
        with open_picture(data) as image:
            # faster: a large JPEG is decoded at 1/2, 1/4 or 1/8 of its size, but not below twice the wanted size
            image.draft(None, (2 * max(self.size), 2 * max(self.size)))
            resized = self.fit(self.plain(image), (width, height))
        return np.asarray(resized).reshape(height, width, self.channels).transpose(2, 0, 1)

    def whole(self, data: bytes) -> np.ndarray:
        """Encoded bytes -> (C, H, W) in the image's own size. Raises what a call raises."""
        if not self.is_plain(data):
            return self.arranged(data).transpose(2, 0, 1)
        with open_picture(data) as image:
            pixels = np.asarray(self.plain(image))
        return pixels.reshape(*pixels.shape[:2], self.channels).transpose(2, 0, 1)

    def is_plain(self, data: bytes) -> bool:
        """Whether Pillow alone makes 8 bits of grey or colour of it, which is fastest."""
        few = self.dtype == np.uint8 and self.channels in (1, 3)
        return few and not is_array(data) and not needs_library(data)

    def plain(self, image: Image.Image) -> Image.Image:
        """Upright, in mode "L" or "RGB"."""
        ImageOps.exif_transpose(image, in_place=True)
        if self.to_srgb:
            image, _ = profiles.converted(image)
        return to_grey_or_rgb(image, "L" if self.channels == 1 else "RGB")

    def arranged(self, data: bytes) -> np.ndarray:
        """(H, W, C)."""
        return arranged(read_whole(data, self.to_srgb), self.channels, self.dtype, self.span)


def fitted(pixels: np.ndarray, fit: Fit, size: tuple[int, int]) -> np.ndarray:
    """(H, W, C) of any type -> (height, width, C) of the same, each channel alone; size: (width, height).

    Wide numbers are resized as float32, which holds 16 bits exactly. What needs no resizing keeps its bits.
    """
    wide = np.uint8 if pixels.dtype == np.uint8 else np.float32
    channels = [
        np.asarray(fit(Image.fromarray(np.ascontiguousarray(channel, wide)), size))
        for channel in np.moveaxis(pixels, 2, 0)
    ]
    made = np.stack(channels, axis=2)
    if pixels.dtype.kind == "u":
        return np.rint(made).clip(0, np.iinfo(pixels.dtype).max).astype(pixels.dtype)
    return made


def resized(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W, C) of any type -> (height, width, C) of the same; size: (width, height)."""
    return pixels if size == (pixels.shape[1], pixels.shape[0]) else fitted(pixels, squash, size)


def decode_whole(data: bytes, channels: int) -> tuple[np.ndarray, bool]:
    """Encoded bytes -> (C, H, W) uint8 in the image's own size, and whether the file has colours.

    Raises ValueError, or any exception of Pillow, when the bytes are not a complete image.
    """
    with open_picture(data) as image:
        colour = is_colour(image)
        pixels = np.asarray(to_grey_or_rgb(ImageOps.exif_transpose(image), "L" if channels == 1 else "RGB"))
    return pixels.reshape(*pixels.shape[:2], channels).transpose(2, 0, 1), colour


def to_grey_or_rgb(image: Image.Image, mode: str) -> Image.Image:
    """Converts an image of any mode to "L" or "RGB". Transparent pixels get a white background.

    Raises ValueError for floating-point pixels.
    """
    if image.mode.startswith("I"):  # 16 bits are scaled to 8 here, because Pillow would clip them at 255
        wide = np.asarray(image).clip(0, 65535).astype(np.int32)
        image = Image.fromarray(((wide + 128) // 257).astype(np.uint8))
    elif image.mode == "F":
        raise ValueError("it has floating-point pixels, whose range is not defined")
    elif image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image if image.mode == mode else image.convert(mode)


MACHINE_FAULTS = {
    errno.EIO,
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOMEM,
    errno.ENOSPC,
    getattr(errno, "ESTALE", errno.EIO),
}


def raise_if_machine_fault(error: Exception) -> None:
    """Raises OSError when the error comes from disk, network or memory: the picture itself may be good."""
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno in MACHINE_FAULTS):
        raise OSError(getattr(error, "errno", None) or errno.ENOMEM, f"a picture could not be read: {error}") from None


class Rows(Protocol):
    """Where decoded pictures go: an array (N, C, H, W), or what stores pictures of different sizes."""

    def __setitem__(self, i: int, picture: Any, /) -> None: ...


@dataclass
class Filling:
    """Decodes the CHUNK pictures from `start` on into `out`, (N, C, H, W).

    Returns the number of pictures, and {index: error message} for the broken pictures.
    """

    listing: Listing
    decoder: Callable[[bytes], Any]
    out: Rows

    def __call__(self, start: int) -> tuple[int, dict[int, str]]:
        source, pictures = self.listing.source, self.listing.pictures
        broken: dict[int, str] = {}
        chunk = range(start, min(start + CHUNK, len(pictures)))
        for i in chunk:
            try:
                self.out[i] = self.decoder(source.read(pictures[i]))
            except Exception as error:  # for a damaged or hostile file, Pillow and zipfile may raise any exception
                raise_if_machine_fault(error)
                broken[i] = str(error) or type(error).__name__
        return len(chunk), broken


def decode_all(listing: Listing, decoder: Callable[[bytes], Any], out: Rows) -> dict[int, str]:
    """Decodes the listing into `out`, (N, C, H, W); returns {index: error message} of the broken pictures.

    More than BAR_FROM pictures are decoded by several processes, so `out` must be memory that forked processes share:
    the result of `shared`, or a memory-mapped file. Raises OSError when one of the processes was killed.
    """
    count, broken = len(listing), {}
    progress: Any = bar(total=count, desc="decoding", unit="img", disable=quiet(count), leave=False)
    try:
        with progress, pool(Filling(listing, decoder, out)) as fillings:
            for done, faults in fillings(range(0, count, CHUNK)):
                broken.update(faults)
                progress.update(done)
    except BrokenExecutor:
        raise OSError("a process that decoded pictures was killed; was there too little memory?") from None
    return dict(sorted(broken.items()))


@contextmanager
def pool(fill: Filling) -> Iterator[Callable[[Iterable[int]], Iterable[tuple[int, dict[int, str]]]]]:
    """A context manager: a function like `map` that applies `fill` on all cores.

    Few pictures are decoded by threads. Many are decoded by processes, which are faster for small pictures.
    """
    cores = os.cpu_count() or 1
    if len(fill.listing) <= BAR_FROM or not FORKS or cores == 1:
        with ThreadPoolExecutor(cores) as threads:
            yield partial(threads.map, fill)
        return
    with ProcessPoolExecutor(cores, get_context(FORKS), initializer=begin, initargs=(fill,)) as processes:
        yield partial(processes.map, filled)


def begin(fill: Filling) -> None:
    """Called in each forked process: it gets `fill` by the fork, without pickling."""
    start_worker()
    FILLING.append(fill)


FILLING: list[Filling] = []


def filled(start: int) -> tuple[int, dict[int, str]]:
    """Calls the `Filling` of this process."""
    return FILLING[-1](start)


def shared(shape: tuple[int, ...], dtype: np.dtype = UINT8) -> np.ndarray:
    """An array in memory that this process and the processes forked from it share."""
    count = math.prod(shape)
    return np.frombuffer(mmap(-1, max(1, count * dtype.itemsize)), dtype, count).reshape(shape)


def quiet(count: int) -> bool:
    """Whether to print no progress bar: there are few pictures, or the output does not go to a terminal."""
    return count <= BAR_FROM or not sys.stderr.isatty()
