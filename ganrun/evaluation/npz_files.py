"""arrays: the members of an .npz that somebody else may have made, each sized before it is read. No torch."""

from __future__ import annotations

import math
import os
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.lib import format as npy

from ganrun.common.regular_files import open_regular
from ganrun.common.untrusted import members_of

# 50,000 pictures of 256×256 are 10 GB. Pictures are packed to a half or a tenth, black ones to a thousandth: so from
# FLOOR on more than RATIO times what is stored is taken for a trap.
MAX_BYTES, FLOOR, RATIO = 2**34, 2**28, 100
PIECE = 2**22  # bytes that are unpacked at a time
DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, MemoryError)  # RuntimeError: it is encrypted


class Kind(NamedTuple):
    """What the header of a member says, and where its content begins."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[np.generic]

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


class Packed:
    """An opened .npz. Nothing in it is unpickled."""

    def __init__(self, archive: zipfile.ZipFile, size: int) -> None:
        self.archive, self.size = archive, size
        self.names = [member.filename for member in archive.infolist()]

    def __contains__(self, name: str) -> bool:
        return f"{name}.npy" in self.names

    def kind(self, name: str) -> Kind:
        """Raises ValueError for what numpy does not write."""
        with self.member(name) as file:
            return header(file)

    def read(self, name: str) -> np.ndarray:
        """Raises ValueError for an array that is larger than its file accounts for, or cut short."""
        stored = min(self.archive.getinfo(f"{name}.npy").compress_size, self.size)  # either may be a lie
        with self.member(name) as file:
            kind = header(file)
            most = min(MAX_BYTES, max(FLOOR, RATIO * stored))
            if kind.nbytes > most:
                raise ValueError(
                    f"its {name} would unfold to {kind.nbytes / 2**20:,.0f} MiB, more than the {most / 2**20:,.0f} MiB "
                    f"that are taken from {stored / 2**20:,.1f} MiB: a folder of pictures has no such limit"
                )
            if kind.dtype.hasobject or not kind.dtype.itemsize:
                raise ValueError(f"its {name} holds objects, not numbers")
            content = filled(file, kind.nbytes, name)
        return content.view(kind.dtype).reshape(kind.shape, order="F" if kind.fortran else "C")

    @contextmanager
    def member(self, name: str) -> Iterator[BinaryIO]:
        if self.names.count(f"{name}.npy") != 1:
            raise ValueError(f"it holds {name} more than once")
        with self.archive.open(f"{name}.npy") as file:
            yield file  # type: ignore[misc]


@contextmanager
def opened(path: Path) -> Iterator[Packed]:
    """An .npz, for as long as the block lasts. Raises ValueError for what is none, OSError where it cannot be read."""
    with open_regular(path) as file:
        try:
            members_of(file)
            with zipfile.ZipFile(file) as archive:
                yield Packed(archive, os.fstat(file.fileno()).st_size)
        except DAMAGED as error:
            raise ValueError(f"it is no .npz ({' '.join(str(error).split())[:80] or type(error).__name__})") from None


def header(file: BinaryIO) -> Kind:
    version = npy.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"it is written in version {version} of numpy's format, not 1 or 2")
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    try:
        shape, fortran, dtype = read(file)
    except Exception:  # numpy has Python's own parser read it, which trips over anything
        raise ValueError("it has a header that numpy does not write") from None
    if any(type(side) is not int or side < 0 for side in shape):
        raise ValueError(f"its shape is {str(shape)[:80]}")
    return Kind(shape, fortran, dtype)


def filled(file: BinaryIO, count: int, name: str) -> np.ndarray:
    """(count,) uint8, piece by piece: memory is touched only as the content arrives."""
    content = np.empty(count, np.uint8)
    view, done = content.data, 0
    while done < count:
        piece = file.read(min(PIECE, count - done))
        if not piece:
            raise ValueError(f"its {name} is cut short")
        view[done : done + len(piece)] = piece
        done += len(piece)
    return content
