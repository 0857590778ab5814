"""Decoded images kept on disk: a memory map and a manifest that says what it was made from."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ganrun.data.decode import Decoder, decode_all
from ganrun.data.listing import Listing

FORMAT = 1  # to be raised whenever the same bytes would be decoded to other pixels
BLOCK = 2**24  # bytes read at a time for the checksum


@dataclass
class Cache:
    """`<name>-<fingerprint>.npy` and `.json` in `folder`; any doubt about them means decoding again."""

    folder: str
    listing: Listing
    decoder: Decoder

    def __post_init__(self) -> None:
        place = Path(self.folder).expanduser()
        stem = f"{self.listing.source.root.stem}-{self.fingerprint[:16]}"
        self.images, self.manifest = place / f"{stem}.npy", place / f"{stem}.json"

    @cached_property
    def fingerprint(self) -> str:
        """A digest of every file's name, size and stamp, and of what is done to them."""
        made = [FORMAT, self.decoder.channels, self.decoder.size, self.decoder.fit.__name__, self.listing.pictures]
        return hashlib.sha256(json.dumps(made).encode()).hexdigest()

    def load(self) -> tuple[np.ndarray, dict[int, str]]:
        """Sound images (N, C, H, W) uint8, mapped into memory, and {index: what is wrong} of the others.

        Raises ValueError when the folder cannot be written.
        """
        try:
            return self.read()
        except (
            OSError,
            ValueError,
            KeyError,
            TypeError,
            AttributeError,
            EOFError,
        ):  # absent, cut short, tampered with: all the same
            pass
        try:
            self.write()
        except OSError as error:
            raise ValueError(f"dataset.cache={self.folder} cannot be written: {error.strerror or error}") from error
        return self.read()

    def read(self) -> tuple[np.ndarray, dict[int, str]]:
        manifest = json.loads(self.manifest.read_text())
        if manifest["fingerprint"] != self.fingerprint or manifest["checksum"] != checksum(self.images):
            raise ValueError("made from something else, or damaged")
        # copy on write: torch wants writable memory, the file stays as it is
        images = np.load(self.images, mmap_mode="c", allow_pickle=False)
        faults = {int(i): str(why) for i, why in manifest["broken"].items()}
        if images.dtype != np.uint8 or images.shape != self.shape(len(self.listing) - len(faults)):
            raise ValueError("not the images of this listing")
        return images, faults

    def write(self) -> None:
        """Decodes to temporary names and moves both files into place, the manifest last."""
        self.images.parent.mkdir(parents=True, exist_ok=True)
        self.check_space()
        temporary = self.images.with_name(f".{uuid.uuid4().hex}.npy")
        try:
            faults = self.decode(temporary)
            manifest: dict[str, Any] = {
                "fingerprint": self.fingerprint,
                "checksum": checksum(temporary),
                "broken": faults,
            }
            os.replace(temporary, self.images)
            temporary.write_text(json.dumps(manifest))
            os.replace(temporary, self.manifest)
        finally:
            temporary.unlink(missing_ok=True)

    def decode(self, path: Path) -> dict[int, str]:
        images = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=self.shape(len(self.listing)))
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

    def check_space(self) -> None:
        """A map on a full disk would kill the process (SIGBUS) instead of raising."""
        needed = int(np.prod(self.shape(len(self.listing)), dtype=np.int64))
        free = shutil.disk_usage(self.images.parent).free
        if needed > free:
            raise OSError(f"{needed / 2**20:.0f} MiB are needed and {free / 2**20:.0f} MiB are free")


def checksum(path: Path) -> int:
    """CRC-32 of a file: quick beside decoding, and it finds the zeros that a power cut leaves."""
    value = 0
    with open(path, "rb") as file:
        while block := file.read(BLOCK):
            value = zlib.crc32(block, value)
    return value
