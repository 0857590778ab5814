"""Decoded images kept on disk: a memory map and a manifest that says what it was made from."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import uuid
import weakref
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from ganrun.data.decode import Decoder, decode_all
from ganrun.data.listing import Listing

FORMAT = 1  # to be raised whenever the same bytes would be decoded to other pixels
BLOCK = 2**24  # bytes read at a time for the checksum
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
        self.place.mkdir(parents=True, exist_ok=True)
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
        manifest = json.loads(self.manifest.read_text(encoding="utf-8"))
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
        if found.st_size > READ_WHOLE and [found.st_size, found.st_mtime_ns] == manifest.get("stamp"):
            return True
        return bool(manifest["checksum"] == checksum(self.images))

    def write(self) -> None:
        """Decodes to a temporary name and moves both files into place, the manifest last."""
        with alone(lock_of(self.place, "room")):
            self.make_room()
        temporary = self.place / f".{self.stem}.part"
        try:
            faults = self.decode(temporary)
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())  # a power cut leaves no zeros under a manifest
            found = temporary.stat()
            manifest: dict[str, Any] = {
                "fingerprint": self.fingerprint,
                "checksum": checksum(temporary),
                "stamp": [found.st_size, found.st_mtime_ns],
                "broken": faults,
            }
            os.replace(temporary, self.images)
            temporary.write_text(json.dumps(manifest), encoding="utf-8", newline="\n")
            os.replace(temporary, self.manifest)
        finally:
            temporary.unlink(missing_ok=True)

    def decode(self, path: Path) -> dict[int, str]:
        images = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=self.shape(len(self.listing)))
        reserve(path)
        faults = decode_all(self.listing, self.decoder, images)
        images.flush()
        if faults:  # a map cannot shrink: copy the sound images, without taking them all into memory
            kept = [i for i in range(len(images)) if i not in faults]
            path.unlink()
            sound = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=self.shape(len(kept)))
            for row, i in enumerate(kept):
                sound[row] = images[i]
            sound.flush()
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


def reserve(path: Path) -> None:
    """Takes the file's room now, where it can: raises OSError instead of SIGBUS on a disk that fills meanwhile."""
    if hasattr(os, "posix_fallocate"):
        with open(path, "rb+") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


def mib(count: int) -> str:
    return f"{count / 2**20:.0f} MiB"


def checksum(path: Path) -> int:
    """CRC-32 of a file: quick beside decoding, and it finds the zeros that a power cut leaves."""
    value = 0
    with open(path, "rb") as file:
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
        Path(lock.lock_file).unlink(missing_ok=True)
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
            mark.unlink(missing_ok=True)
        lock.release()
    return False


def entries_of(place: Path) -> list[tuple[float, int, str]]:
    """(when it was last used, bytes, name) of everything that a cache has written here."""
    found = []
    for images in place.glob("*.npy"):
        manifest = images.with_suffix(".json")
        with contextlib.suppress(*READ_FAULTS):
            if ENTRY.fullmatch(images.stem) and "fingerprint" in json.loads(manifest.read_text(encoding="utf-8")):
                found.append((manifest.stat().st_mtime, images.stat().st_size, images.stem))
    for part in place.glob(".?*-*.part"):  # of a process that was killed while it wrote, or of one that still does
        with contextlib.suppress(OSError):
            found.append((0.0, part.stat().st_size, part.stem[1:]))
    return found


def delete(place: Path, stem: str) -> bool:
    """Removes an entry that nobody uses."""
    if is_used(place, stem):
        return False
    for name in (f"{stem}.json", f"{stem}.npy", f".{stem}.part"):
        with contextlib.suppress(OSError):
            (place / name).unlink(missing_ok=True)
    return True
