"""The cache of decoded images on disk: for each data set a memory-mapped .npy, and a manifest of its origin."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import re
import shutil
import stat
import uuid
import weakref
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from filelock import FileLock, Timeout

from ganrun.common.atomic import UNFINISHED, atomic_write, clear, make_folder, remove, write_text
from ganrun.common.regular_files import read_text
from ganrun.data.decode import Decoder, decode_all
from ganrun.data.listing import Listing

FORMAT = 1  # part of the fingerprint: raise it whenever the same file would be decoded to other pixels
BLOCK = 2**24  # bytes read at a time for the checksum
MANIFEST = 2**26  # the largest manifest that is read, in bytes
READ_WHOLE = 2**28  # bytes; the checksum of a smaller file is verified at every start, which takes up to 0.1 seconds
ENTRY = re.compile(r".+-[0-9a-f]{16}")
READ_FAULTS = (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError)  # absent, cut short, tampered with


@dataclass
class Cache:
    """The cache entry of a listing: `<name>-<fingerprint>.npy` and `.json` in `folder`.

    When a file of the entry is missing or damaged, the pictures are decoded again. Several processes may load the same
    entry at once: one of them decodes, and the others wait.
    limit: the largest size of all entries in the folder together, in bytes. The least recently used entries are deleted
    to make room, but never an entry that a process is using.
    """

    folder: str
    listing: Listing
    decoder: Decoder
    limit: int = 20 * 2**30

    def __post_init__(self) -> None:
        self.place = Path(self.folder).expanduser()
        name = re.sub(r"[^\w.-]", "_", self.listing.source.root.stem)[:64]
        self.stem = f"{name}-{self.fingerprint[:16]}"
        self.images, self.manifest = self.place / f"{self.stem}.npy", self.place / f"{self.stem}.json"

    @cached_property
    def fingerprint(self) -> str:
        """A SHA-256 of the name, size and stamp of every file, and of the settings of the decoder."""
        files = [picture[:3] for picture in self.listing.pictures]
        made = [
            FORMAT,
            self.decoder.channels,
            self.decoder.size,
            self.decoder.fit.__name__,
            files,
            *self.decoder.numbers,
        ]
        return hashlib.sha256(json.dumps(made).encode()).hexdigest()

    def load(self) -> tuple[np.ndarray, dict[int, str]]:
        """(N, C, H, W) images, memory-mapped, and {index: error message} for broken pictures, which are left out.

        Raises OSError when the folder cannot be written or is too full.
        """
        with contextlib.suppress(*READ_FAULTS):
            return self.read()
        make_folder(self.place)
        with locked(lock_of(self.place, self.stem)):
            with contextlib.suppress(*READ_FAULTS):  # another process may have decoded them in the meantime
                return self.read()
            self.write()
            return self.read()

    def read(self) -> tuple[np.ndarray, dict[int, str]]:
        """`load` for an existing entry. Raises one of READ_FAULTS when there is none or it is damaged.

        The entry is marked as in use until the images are garbage-collected.
        """
        with marked_as_used(self.place, self.stem) as mark:
            images, faults = self.mapped()
            if mark:
                weakref.finalize(images, remove_mark, mark)
        return images, faults

    def mapped(self) -> tuple[np.ndarray, dict[int, str]]:
        """`read` without the mark."""
        manifest = json.loads(read_text(self.manifest, MANIFEST))
        if manifest["fingerprint"] != self.fingerprint or not self.is_whole(manifest):
            raise ValueError("made from other files, or damaged")
        # copy on write ("c"): torch wants writable memory, but the file must not change
        images = np.load(self.images, mmap_mode="c", allow_pickle=False)
        faults = {int(i): str(why) for i, why in manifest["broken"].items()}
        self.checked(images, manifest, faults)
        with contextlib.suppress(OSError):  # the cache of another user may be read-only
            os.utime(self.manifest)
        return images, faults

    def checked(self, images: np.ndarray, manifest: dict[str, Any], faults: dict[int, str]) -> None:
        """Raises ValueError unless the file holds as many images of this kind and size as it should."""
        if images.dtype != self.decoder.dtype or images.shape != self.shape(len(self.listing) - len(faults)):
            raise ValueError("not the images of this listing")

    def is_whole(self, manifest: dict[str, Any]) -> bool:
        """Whether the images are those that the manifest describes.

        For a large file, its size and time of change are enough; for a smaller one, the checksum is verified.
        """
        found = self.images.stat()
        if not stat.S_ISREG(found.st_mode):
            return False
        if found.st_size > READ_WHOLE and [found.st_size, found.st_mtime_ns] == manifest.get("stamp"):
            return True
        with open(self.images, "rb") as file:
            return bool(manifest["checksum"] == checksum(file))

    def write(self) -> None:
        """Decodes all pictures to a file with a temporary name and renames it; then writes the manifest.

        Raises OSError when the folder is too full.
        """
        with locked(lock_of(self.place, "room")):
            self.make_room()
        clear(self.place, of=self.images.name)
        # durable: after a power failure, a manifest must not stand beside images that are zeros
        with atomic_write(self.images, durable=True) as file:
            faults = self.decode(file)
            os.fsync(file.fileno())
            found = os.fstat(file.fileno())
            manifest: dict[str, Any] = {
                "fingerprint": self.fingerprint,
                "checksum": checksum(file),
                "stamp": [found.st_size, found.st_mtime_ns],
                "broken": faults,
                **self.facts(),
            }
        write_text(self.manifest, json.dumps(manifest))

    def decode(self, file: BinaryIO) -> dict[int, str]:
        """Writes a .npy of all images that can be decoded; returns {index: error message} of the broken pictures."""
        images = map_of(file, self.shape(len(self.listing)), self.decoder.dtype)
        faults = decode_all(self.listing, self.decoder, images)
        if faults:  # the good images move to the front one by one, so that they need not all fit into memory
            good = [i for i in range(len(images)) if i not in faults]
            for row, i in enumerate(good):
                images[row] = images[i]
            images.flush()
            del images
            shorten(file, self.shape(len(good)), self.decoder.dtype)
        else:
            images.flush()
        return faults

    def facts(self) -> dict[str, Any]:
        """What else the manifest says."""
        return {}

    @property
    def bytes_of_all(self) -> int:
        """Bytes of the images of the whole listing."""
        return len(self.listing) * self.decoder.item_bytes

    def shape(self, count: int) -> tuple[int, int, int, int]:
        """(count, C, H, W)."""
        return count, self.decoder.channels, *self.decoder.size

    def make_room(self) -> None:
        """Deletes the least recently used entries until the new one fits. Raises OSError when it cannot fit."""
        needed = self.bytes_of_all + 2**12
        if needed > self.limit:
            raise OSError(f"{mib(needed)} are needed, more than dataset.cache_gib={self.limit / 2**30:.3g} allows")
        entries = sorted(entry for entry in entries_of(self.place) if entry[2] != self.stem)
        taken = sum(size for _, size, _ in entries)
        for _, size, stem in entries:
            if taken + needed <= self.limit and needed <= shutil.disk_usage(self.place).free:
                break
            if delete(self.place, stem):
                taken -= size
        if taken + needed > self.limit:
            raise OSError(
                f"{mib(needed)} are needed, but entries in use fill dataset.cache_gib={self.limit / 2**30:.3g}"
            )
        free = shutil.disk_usage(self.place).free
        if needed > free:
            raise OSError(f"{mib(needed)} are needed and {mib(free)} are free")


def map_of(file: BinaryIO, shape: tuple[int, ...], dtype: Any = np.uint8) -> np.memmap:
    """Makes a new file a .npy of images of this shape, and returns the images as a memory map."""
    start = write_header(file, shape, dtype)
    size = start + math.prod(shape) * np.dtype(dtype).itemsize
    file.truncate(size)
    # reserve the space now: on a full disk, this raises OSError, while writing to the map would end in SIGBUS
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)
    return np.memmap(file, dtype, "r+", start, shape)  # type: ignore[call-overload]


def shorten(file: BinaryIO, shape: tuple[int, ...], dtype: Any = np.uint8) -> None:
    """Reduces the number of images in a .npy. The header keeps its length: NumPy reserves space for any number."""
    size = write_header(file, shape, dtype) + math.prod(shape) * np.dtype(dtype).itemsize
    with contextlib.suppress(OSError):  # Windows cannot cut a mapped file; the bytes after the last image do no harm
        file.truncate(size)


def write_header(file: BinaryIO, shape: tuple[int, ...], dtype: Any = np.uint8) -> int:
    """Writes the header of a .npy and returns its length in bytes, which is the position of the first image."""
    file.seek(0)
    np.lib.format.write_array_header_1_0(file, {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": shape})
    file.flush()
    return file.tell()


def mib(count: int) -> str:
    return f"{count / 2**20:.0f} MiB"


def checksum(file: BinaryIO) -> int:
    """CRC-32 of a file. It is fast compared with decoding, and it detects zeros that a power failure has left."""
    value = 0
    file.seek(0)
    while block := file.read(BLOCK):
        value = zlib.crc32(block, value)
    return value


# -- several processes, several entries -----------------------------------------------------------------------------


def lock_of(place: Path, stem: str) -> FileLock:
    """The lock that a process holds while it writes the entry."""
    return FileLock(place / f".{stem}.lock")


@contextlib.contextmanager
def locked(lock: FileLock) -> Iterator[None]:
    """A context manager that waits for the lock and holds it.

    On a file system without locks it does not wait: two processes would write the same bytes.
    """
    with contextlib.suppress(NotImplementedError):
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def marked_as_used(place: Path, stem: str) -> Iterator[FileLock | None]:
    """Locks a file that marks the entry as in use; None when the folder is not there or cannot have locks.

    The mark remains after the block, unless the block raises. It also ends with the process, which releases the lock.
    """
    mark = FileLock(place / f".{stem}.{uuid.uuid4().hex}.use", thread_local=False, timeout=0)
    with contextlib.suppress(OSError, NotImplementedError):
        if place.is_dir():
            mark.acquire()
    try:
        yield mark if mark.is_locked else None
    except BaseException:
        remove_mark(mark)
        raise


def remove_mark(lock: FileLock) -> None:
    """Deletes the file of the lock and releases it."""
    with contextlib.suppress(OSError):
        remove(Path(lock.lock_file))
        lock.release()


def is_used(place: Path, stem: str) -> bool:
    """Whether a running process uses or writes the entry. Marks of processes that have ended are deleted."""
    for mark in place.glob(f".{stem}.*"):
        if mark.suffix not in (".use", ".lock"):
            continue
        lock = FileLock(mark, timeout=0)
        try:
            lock.acquire()
        except (Timeout, OSError, NotImplementedError):
            return True
        if mark.suffix == ".use":
            remove(mark)
        lock.release()
    return False


def entries_of(place: Path) -> list[tuple[float, int, str]]:
    """(time of the last use, bytes, name) of every entry in the folder, finished or not."""
    found = []
    for images in place.glob("*.npy"):
        manifest = images.with_suffix(".json")
        with contextlib.suppress(*READ_FAULTS):
            if ENTRY.fullmatch(images.stem) and "fingerprint" in json.loads(read_text(manifest, MANIFEST)):
                found.append((manifest.stat().st_mtime, images.stat().st_size, images.stem))
    for part in place.glob(".?*-*.part"):  # unfinished: a process is writing it, or was killed while it wrote
        match = UNFINISHED.fullmatch(part.name)
        stem = match["of"].removesuffix(".npy").removesuffix(".json") if match else ""
        with contextlib.suppress(OSError):
            if ENTRY.fullmatch(stem):
                found.append((0.0, part.lstat().st_size, stem))
    return found


def delete(place: Path, stem: str) -> bool:
    """Deletes the entry and returns True, unless a process uses it."""
    if is_used(place, stem):
        return False
    for name in (f"{stem}.json", f"{stem}.npy"):
        with contextlib.suppress(OSError):
            remove(place / name)
        clear(place, of=name)
    clear(place, of=stem)  # temporary files of older versions
    return True
