"""Storage: decides, before any picture is decoded, where the decoded pictures are stored. It does not import torch."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, TypedDict, TypeVar

import numpy as np

from ganrun.common.bounds import Positive
from ganrun.data import cgroups
from ganrun.data.cache import Cache
from ganrun.data.cache_folder import user_cache
from ganrun.data.channels import Span
from ganrun.data.decode import Decoder, decode_all, shared
from ganrun.data.listing import Listing

log = logging.getLogger(__name__)

MODES = ("auto", "memory", "stream")
SMALL = 2000  # up to this number, decoding the pictures again is faster than using a cache
MAX_WORKERS = 64
GIB = 2**30

TYPES: dict[int, np.dtype] = {
    8: np.dtype(np.uint8),
    16: np.dtype(np.uint16),
    32: np.dtype(np.float32),
}  # {depth: how it is kept}

Kept = TypeVar("Kept")
Depth = Annotated[int, "8, 16 or 32"]
Range = Annotated[Sequence[float], "two numbers, black and white: [0,1]"]
Profiles = Annotated[str, "convert or ignore"]


class StorageOptions(TypedDict, total=False):
    """How decoded pictures are kept: a data set of picture files takes these keys as `**options: Unpack[...]`.

    conf/dataset/shared/storage.yaml explains them. `Storage(**options)` has their defaults.
    """

    mode: str
    cache: str | None
    cache_gib: Positive
    workers: int | str
    resident: bool | str


class PictureOptions(StorageOptions, total=False):
    """And what becomes of the numbers in picture files, which conf/dataset/shared/pixels.yaml explains."""

    depth: Depth
    range: Range | None
    profiles: Profiles


@dataclass(frozen=True)
class Storage:
    """`StorageOptions`, checked. Raises ValueError for an invalid value."""

    mode: str = "auto"
    cache: str | None = "auto"
    cache_gib: float = 20
    workers: int | str = "auto"
    resident: bool | str = "auto"
    depth: ClassVar[int] = 8
    dtype: ClassVar[np.dtype] = TYPES[8]
    span: ClassVar[Span | None] = None
    to_srgb: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ValueError(f"dataset.mode={self.mode} must be one of {', '.join(MODES)}")
        if not is_real_number(self.cache_gib) or not 0 < self.cache_gib < math.inf:
            raise ValueError(
                f"dataset.cache_gib={self.cache_gib} must be a number of GiB above 0; dataset.cache=null uses no cache"
            )
        if self.workers != "auto" and not (type(self.workers) is int and 0 <= self.workers <= MAX_WORKERS):
            raise ValueError(f"dataset.workers={self.workers} must be auto or a whole number from 0 to {MAX_WORKERS}")
        if self.resident not in ("auto", True, False):
            raise ValueError(f"dataset.resident={self.resident} must be auto, true or false")

    @property
    def processes(self) -> int:
        """The number of worker processes that decode pictures during training, when the pictures are streamed."""
        return min(8, max(1, (os.cpu_count() or 2) - 1)) if self.workers == "auto" else int(self.workers)

    def folder(self, count: int) -> Path | None:
        """The cache folder for `count` decoded pictures; None: no cache."""
        if self.cache == "auto":
            return user_cache() / "images" if count > SMALL else None
        return Path(self.cache).expanduser() if self.cache else None

    def load(self, listing: Listing, decoder: Decoder) -> tuple[np.ndarray, dict[int, str]] | None:
        """(N, C, H, W) images that can be decoded, and {index: error message} for the broken pictures.

        The images are in memory, or a memory map of a file in the cache. The result is None when the pictures are to be
        streamed: because the user wants it, or, with one warning, because memory or cache are too small. It is also
        None inside `preview`.
        """
        return self.keep(
            len(listing),
            len(listing) * decoder.item_bytes,
            lambda folder, limit: Cache(folder, listing, decoder, limit).load(),
            lambda: decoded(listing, decoder),
        )

    def keep(
        self, count: int, nbytes: int, cached: Callable[[str, int], Kept], in_memory: Callable[[], Kept]
    ) -> Kept | None:
        """What `cached` (folder, bytes that may be there) or `in_memory` returns; None when pictures are streamed."""
        if self.mode == "stream" or PREVIEWED.get():
            return None
        folder = self.folder(count)
        problem = "" if folder else scarce(nbytes)
        if folder:
            try:
                return cached(str(folder), int(self.cache_gib * GIB))
            except OSError as error:
                problem = f"dataset.cache={folder} cannot be used: {error.strerror or error}"
        if problem and self.mode == "auto":
            log.warning("%s: pictures are decoded again each time they are used (dataset.mode=stream)", problem)
            return None
        if folder:
            log.warning("%s: pictures are decoded into memory", problem)
        return in_memory()

    def planned_bytes(self, listing: Listing, decoder: Decoder) -> int:
        """The bytes of the images that `load` would return, without decoding any; 0 when it would return None."""
        return self.planned(len(listing), len(listing) * decoder.item_bytes)

    def planned(self, count: int, nbytes: int) -> int:
        """`nbytes`; 0 when `keep` would return None."""
        lacking = self.mode == "auto" and not self.folder(count) and scarce(nbytes)
        return 0 if self.mode == "stream" or lacking else nbytes


@dataclass(frozen=True)
class PictureStorage(Storage):
    """`PictureOptions`, checked. Raises ValueError for an invalid value."""

    depth: int = 8  # type: ignore[misc]
    range: Sequence[float] | None = None
    profiles: str = "convert"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_numbers()

    def check_numbers(self) -> None:
        """Raises ValueError for a depth, a range or a treatment of profiles that there is not."""
        if self.depth not in TYPES:
            raise ValueError(f"dataset.depth={self.depth} must be one of {', '.join(map(str, TYPES))}")
        if self.profiles not in ("convert", "ignore"):
            raise ValueError(f"dataset.profiles={self.profiles} must be convert or ignore")
        if self.range is None:
            if self.depth == 32:
                raise ValueError("dataset.depth=32 needs the numbers of black and white: dataset.range=[0,1]")
            return
        ends = list(self.range)
        if len(ends) != 2 or not all(is_real_number(end) and math.isfinite(end) for end in ends) or ends[0] == ends[1]:
            raise ValueError(f"dataset.range={ends} must be [black,white], two numbers, such as [0,1] or [0,4095]")

    @property
    def dtype(self) -> np.dtype:  # type: ignore[override]
        """In which decoded pictures are kept: with a range of their own they are float32 in [-1, 1]."""
        return np.dtype(np.float32) if self.range is not None else TYPES[self.depth]

    @property
    def span(self) -> Span | None:  # type: ignore[override]
        return None if self.range is None else (float(self.range[0]), float(self.range[1]))

    @property
    def to_srgb(self) -> bool:  # type: ignore[override]
        return self.profiles == "convert"


PREVIEWED: ContextVar[bool] = ContextVar("previewed", default=False)


@contextmanager
def preview() -> Iterator[None]:
    """A context manager: data sets that are built inside it list their pictures but decode only a few of them.

    This is enough to plan a run.
    """
    before = PREVIEWED.set(True)
    try:
        yield
    finally:
        PREVIEWED.reset(before)


def is_real_number(value: object) -> bool:
    """Whether the value is an int or a float; True and False are not."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def decoded(listing: Listing, decoder: Decoder) -> tuple[np.ndarray, dict[int, str]]:
    """(N, C, H, W) images in memory, and {index: error message} for the broken pictures, which are left out."""
    images = shared((len(listing), decoder.channels, *decoder.size), decoder.dtype)
    faults = decode_all(listing, decoder, images)
    return (np.delete(images, list(faults), axis=0) if faults else images), faults


def scarce(needed: int) -> str:
    """A message when `needed` bytes are more than half of the free memory; "" otherwise."""
    free = free_memory()
    if free is None or needed <= free // 2:
        return ""
    return f"{needed / GIB:.1f} GiB of decoded pictures are more than half of the free memory ({free / GIB:.1f} GiB)"


def free_memory() -> int | None:
    """Bytes of memory that this process can still use; None when it is not known.

    On Linux, it is the smaller of what the machine has free and what the process's control group allows. Other systems
    do not tell what is free, so it is all the memory of the machine.
    """
    try:
        fields = dict(line.split(":") for line in Path("/proc/meminfo").read_text(encoding="utf-8").splitlines())
        free = int(fields["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        try:
            return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        except (AttributeError, OSError, ValueError):
            return None
    limit = cgroups.bytes_left()
    return free if limit is None else min(free, limit)
