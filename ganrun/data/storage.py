"""Storage: where decoded pictures live, decided from their size before any is decoded (no torch here)."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import numpy as np

from ganrun.common.bounds import Positive
from ganrun.data import cgroups
from ganrun.data.cache import Cache
from ganrun.data.cache_folder import user_cache
from ganrun.data.decode import Decoder, decode_all, shared
from ganrun.data.listing import Listing

log = logging.getLogger(__name__)

MODES = ("auto", "memory", "stream")
SMALL = 2000  # pictures that are decoded again sooner than a cache is looked up
MAX_WORKERS = 64
GIB = 2**30


class StorageOptions(TypedDict, total=False):
    """Where decoded pictures live: a data set of picture files takes these keys as `**options: Unpack[...]`.

    conf/dataset/shared/storage.yaml explains them. `Storage(**options)` has their defaults.
    """

    mode: str
    cache: str | None
    cache_gib: Positive
    workers: int | str
    resident: bool | str


@dataclass(frozen=True)
class Storage:
    """`StorageOptions`, checked. Raises ValueError for a value that means nothing."""

    mode: str = "auto"
    cache: str | None = "auto"
    cache_gib: float = 20
    workers: int | str = "auto"
    resident: bool | str = "auto"

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ValueError(f"dataset.mode={self.mode} must be one of {', '.join(MODES)}")
        if not is_number(self.cache_gib) or not 0 < self.cache_gib < math.inf:
            raise ValueError(f"dataset.cache_gib={self.cache_gib} must be above 0: GiB; dataset.cache=null keeps none")
        if self.workers != "auto" and not (type(self.workers) is int and 0 <= self.workers <= MAX_WORKERS):
            raise ValueError(f"dataset.workers={self.workers} must be auto or a whole number from 0 to {MAX_WORKERS}")
        if self.resident not in ("auto", True, False):
            raise ValueError(f"dataset.resident={self.resident} must be auto, true or false")

    @property
    def processes(self) -> int:
        """How many workers decode while a run streams."""
        return min(8, max(1, (os.cpu_count() or 2) - 1)) if self.workers == "auto" else int(self.workers)

    def folder(self, count: int) -> Path | None:
        """Where `count` decoded pictures are kept; None for nowhere."""
        if self.cache == "auto":
            return user_cache() / "images" if count > SMALL else None
        return Path(self.cache).expanduser() if self.cache else None

    def load(self, listing: Listing, decoder: Decoder) -> tuple[np.ndarray, dict[int, str]] | None:
        """All sound images (N, C, H, W) uint8, in memory or mapped into it, and {index: what is wrong} of the others.

        None where each is to be decoded whenever it is drawn: by wish, for lack of memory, or for lack of a cache,
        which is said in one warning; and in a `preview`.
        """
        if self.mode == "stream" or PREVIEWED.get():
            return None
        folder = self.folder(len(listing))
        problem = "" if folder else scarce(math.prod((len(listing), decoder.channels, *decoder.size)))
        if folder:
            try:
                return Cache(str(folder), listing, decoder, int(self.cache_gib * GIB)).load()
            except OSError as error:
                problem = f"dataset.cache={folder} cannot be used: {error.strerror or error}"
        if problem and self.mode == "auto":
            log.warning("%s: pictures are decoded anew whenever they are drawn (dataset.mode=stream)", problem)
            return None
        if folder:
            log.warning("%s: pictures are decoded into memory", problem)
        return decoded(listing, decoder)

    def planned_bytes(self, listing: Listing, decoder: Decoder) -> int:
        """The bytes that `load` would give, told before anything is decoded; 0 where it would give None."""
        size = math.prod((len(listing), decoder.channels, *decoder.size))
        lacking = self.mode == "auto" and not self.folder(len(listing)) and scarce(size)
        return 0 if self.mode == "stream" or lacking else size


PREVIEWED: ContextVar[bool] = ContextVar("previewed", default=False)


@contextmanager
def preview() -> Iterator[None]:
    """Data sets made within the block list their pictures and decode but a few: all that a plan needs to know."""
    before = PREVIEWED.set(True)
    try:
        yield
    finally:
        PREVIEWED.reset(before)


def is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def decoded(listing: Listing, decoder: Decoder) -> tuple[np.ndarray, dict[int, str]]:
    """All sound images in memory, and {index: what is wrong} of the others."""
    images = shared((len(listing), decoder.channels, *decoder.size))
    faults = decode_all(listing, decoder, images)
    return (np.delete(images, list(faults), axis=0) if faults else images), faults


def scarce(needed: int) -> str:
    """What is wrong with taking so many bytes of memory; nothing up to half of what is free."""
    free = free_memory()
    if free is None or needed <= free // 2:
        return ""
    return f"{needed / GIB:.1f} GiB of decoded pictures are more than half of the free memory ({free / GIB:.1f} GiB)"


def free_memory() -> int | None:
    """Bytes that a process may still take: the machine's, or its control group's where that is less; None if unknown.

    Linux tells; elsewhere it is all the memory there is, or nobody knows.
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
