"""Decoded images kept on disk: a memory map and a manifest that says what it was made from."""

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

FORMAT = 1  # to be raised whenever the same bytes would be decoded to other pixels
BLOCK = 2**24  # bytes read at a time for the checksum
MANIFEST = 2**26  # bytes that a manifest may have
READ_WHOLE = 2**28  # bytes up to which a file is read through at every start: a tenth of a second
ENTRY = re.compile(r".+-[0-9a-f]{16}")
READ_FAULTS = (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError)  # absent, cut short, tampered with


@dataclass
class Cache:
    """`<name>-<fingerprint>.npy` and `.json` in `folder`; any doubt about them means decoding again.

    Several processes may ask at once: one decodes, the others wait for it. `limit` is how many bytes all entries
    of the folder may take together: those used least recently make room, but never one that is in use.
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
        """A digest of every file's name, size and stamp, and of what is done to them."""
        files = [picture[:3] for picture in self.listing.pictures]
        made = [FORMAT, self.decoder.channels, self.decoder.size, self.decoder.fit.__name__, files]
        return hashlib.sha256(json.dumps(made).encode()).hexdigest()

    def load(self) -> tuple[np.ndarray, dict[int, str]]:
        """Sound images (N, C, H, W) uint8, mapped into memory, and {index: what is wrong} of the others.

        Raises OSError when the folder cannot be written, or has too little room.
        """
        with contextlib.suppress(*READ_FAULTS):
            return self.read()
        make_folder(self.place)
        with alone(lock_of(self.place, self.stem)):
            with contextlib.suppress(*READ_FAULTS):  # another process has decoded them meanwhile
                return self.read()
            self.write()
            return self.read()

    def read(self) -> tuple[np.ndarray, dict[int, str]]:
        with marked(self.place, self.stem) as mark:
            images, faults = self.mapped()
            if mark:
                weakref.finalize(images, put_away, mark)
        return images, faults

    def mapped(self) -> tuple[np.ndarray, dict[int, str]]:
        manifest = json.loads(read_text(self.manifest, MANIFEST))
        if manifest["fingerprint"] != self.fingerprint or not self.is_whole(manifest):
            raise ValueError("made from something else, or damaged")
        # copy on write: torch wants writable memory, the file stays as it is
        images = np.load(self.images, mmap_mode="c", allow_pickle=False)
        faults = {int(i): str(why) for i, why in manifest["broken"].items()}
        if images.dtype != np.uint8 or images.shape != self.shape(len(self.listing) - len(faults)):
            raise ValueError("not the images of this listing")
        with contextlib.suppress(OSError):  # somebody else's cache may be read only
            os.utime(self.manifest)
        return images, faults

    def is_whole(self, manifest: dict[str, Any]) -> bool:
        """A large file that nobody wrote to since it was made is not read through again."""
        found = self.images.stat()
        if not stat.S_ISREG(found.st_mode):
            return False
        if found.st_size > READ_WHOLE and [found.st_size, found.st_mtime_ns] == manifest.get("stamp"):
            return True
        with open(self.images, "rb") as file:
            return bool(manifest["checksum"] == checksum(file))

    def write(self) -> None:
        """Decodes to a temporary name and moves both files into place, the manifest last."""
        with alone(lock_of(self.place, "room")):
            self.make_room()
        clear(self.place, of=self.images.name)
        with atomic_write(self.images, durable=True) as file:  # a power cut leaves no zeros under a manifest
            faults = self.decode(file)
            os.fsync(file.fileno())
            found = os.fstat(file.fileno())
            manifest: dict[str, Any] = {
                "fingerprint": self.fingerprint,
                "checksum": checksum(file),
                "stamp": [found.st_size, found.st_mtime_ns],
                "broken": faults,
            }
        write_text(self.manifest, json.dumps(manifest))

    def decode(self, file: BinaryIO) -> dict[int, str]:
        """A .npy of the sound images; {index: what is wrong} of the others."""
        images = map_of(file, self.shape(len(self.listing)))
        faults = decode_all(self.listing, self.decoder, images)
        if faults:  # a map cannot shrink: the sound images move up, without taking them all into memory
            kept = [i for i in range(len(images)) if i not in faults]
            for row, i in enumerate(kept):
                images[row] = images[i]
            images.flush()
            del images
            shorten(file, self.shape(len(kept)))
        else:
            images.flush()
        return faults

    def shape(self, count: int) -> tuple[int, int, int, int]:
        return count, self.decoder.channels, *self.decoder.size

    def make_room(self) -> None:
        """Deletes entries that were used least recently. Raises OSError when that is not enough."""
        needed = int(np.prod(self.shape(len(self.listing)), dtype=np.int64)) + 2**12
        if needed > self.limit:
            raise OSError(f"{mib(needed)} are needed, more than dataset.cache_gib={self.limit / 2**30:.3g}")
        entries = sorted(entry for entry in entries_of(self.place) if entry[2] != self.stem)
        taken = sum(size for _, size, _ in entries)
        for _, size, stem in entries:
            if taken + needed <= self.limit and needed <= shutil.disk_usage(self.place).free:
                break
            if delete(self.place, stem):
                taken -= size
        if taken + needed > self.limit:
            raise OSError(
                f"{mib(needed)} are needed, and what is in use fills dataset.cache_gib={self.limit / 2**30:.3g}"
            )
        free = shutil.disk_usage(self.place).free
        if needed > free:
            raise OSError(f"{mib(needed)} are needed and {mib(free)} are free")


def map_of(file: BinaryIO, shape: tuple[int, ...]) -> np.memmap:
    """A new file becomes a .npy of uint8, whose images are mapped into memory."""
    start = write_header(file, shape)
    size = start + math.prod(shape)
    file.truncate(size)
    if hasattr(os, "posix_fallocate"):  # its room is taken now: an OSError instead of SIGBUS on a disk that fills
        os.posix_fallocate(file.fileno(), 0, size)
    return np.memmap(file, np.uint8, "r+", start, shape)  # type: ignore[call-overload]


def shorten(file: BinaryIO, shape: tuple[int, ...]) -> None:
    """Fewer images in the same .npy: NumPy leaves room in the header for any number of them."""
    size = write_header(file, shape) + math.prod(shape)
    with contextlib.suppress(OSError):  # Windows does not cut what is mapped; what is left over is not read
        file.truncate(size)


def write_header(file: BinaryIO, shape: tuple[int, ...]) -> int:
    """Returns where the images begin."""
    file.seek(0)
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
    file.flush()
    return file.tell()


def mib(count: int) -> str:
    return f"{count / 2**20:.0f} MiB"


def checksum(file: BinaryIO) -> int:
    """CRC-32 of a file: quick beside decoding, and it finds the zeros that a power cut leaves."""
    value = 0
    file.seek(0)
    while block := file.read(BLOCK):
        value = zlib.crc32(block, value)
    return value


# -- several processes, several entries -----------------------------------------------------------------------------


def lock_of(place: Path, stem: str) -> FileLock:
    return FileLock(place / f".{stem}.lock")


@contextlib.contextmanager
def alone(lock: FileLock) -> Iterator[None]:
    """Waits for the lock. Where the file system knows none, nobody waits: both would write the same bytes."""
    with contextlib.suppress(NotImplementedError):
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def marked(place: Path, stem: str) -> Iterator[FileLock | None]:
    """A file whose lock says, as long as this process holds it, that the entry is in use; None where none can be."""
    mark = FileLock(place / f".{stem}.{uuid.uuid4().hex}.use", thread_local=False, timeout=0)
    with contextlib.suppress(OSError, NotImplementedError):
        if place.is_dir():
            mark.acquire()
    try:
        yield mark if mark.is_locked else None
    except BaseException:
        put_away(mark)
        raise


def put_away(lock: FileLock) -> None:
    with contextlib.suppress(OSError):
        remove(Path(lock.lock_file))
        lock.release()


def is_used(place: Path, stem: str) -> bool:
    """Does a living process use or write the entry? What a dead one left behind is cleared away."""
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
    """(when it was last used, bytes, name) of everything that a cache has written here."""
    found = []
    for images in place.glob("*.npy"):
        manifest = images.with_suffix(".json")
        with contextlib.suppress(*READ_FAULTS):
            if ENTRY.fullmatch(images.stem) and "fingerprint" in json.loads(read_text(manifest, MANIFEST)):
                found.append((manifest.stat().st_mtime, images.stat().st_size, images.stem))
    for part in place.glob(".?*-*.part"):  # of a process that was killed while it wrote, or of one that still does
        match = UNFINISHED.fullmatch(part.name)
        stem = match["of"].removesuffix(".npy").removesuffix(".json") if match else ""
        with contextlib.suppress(OSError):
            if ENTRY.fullmatch(stem):
                found.append((0.0, part.lstat().st_size, stem))
    return found


def delete(place: Path, stem: str) -> bool:
    """Removes an entry that nobody uses."""
    if is_used(place, stem):
        return False
    for name in (f"{stem}.json", f"{stem}.npy"):
        with contextlib.suppress(OSError):
            remove(place / name)
        clear(place, of=name)
    clear(place, of=stem)  # of older versions
    return True
