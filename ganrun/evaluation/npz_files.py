"""Reads an .npz that somebody else may have made: the size of each array is checked before it is read."""

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

# Limits against a zip bomb. MAX_BYTES: 50,000 pictures of 256×256 are 10 GB. Pictures are compressed to between a half
# and a tenth of their size, black ones to a thousandth. So an array that is larger than FLOOR bytes is refused when it
# is more than RATIO times as large as what the file stores for it.
MAX_BYTES, FLOOR, RATIO = 2**34, 2**28, 100
PIECE = 2**22  # bytes that are decompressed at a time
# zipfile raises RuntimeError for an encrypted member
DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, MemoryError)


class Kind(NamedTuple):
    """The header of a member: shape, order of the axes in memory, and type. Its content begins after the header."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[np.generic]

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


class Packed:
    """An opened .npz of `size` bytes. Nothing in it is unpickled."""

    def __init__(self, archive: zipfile.ZipFile, size: int) -> None:
        self.archive, self.size = archive, size
        self.names = [member.filename for member in archive.infolist()]

    def __contains__(self, name: str) -> bool:
        return f"{name}.npy" in self.names

    def kind(self, name: str) -> Kind:
        """The header of the array `name`. Raises ValueError when it is not a header that numpy writes."""
        with self.member(name) as file:
            return header(file)

    def read(self, name: str) -> np.ndarray:
        """The array `name`. Raises ValueError when it is too large, holds objects, or is cut short."""
        # the archive may state any compressed size, so the size of the file limits it
        stored = min(self.archive.getinfo(f"{name}.npy").compress_size, self.size)
        with self.member(name) as file:
            kind = header(file)
            most = min(MAX_BYTES, max(FLOOR, RATIO * stored))
            if kind.nbytes > most:
                raise ValueError(
                    f"its {name} would decompress to {kind.nbytes / 2**20:,.0f} MiB; the limit for the "
                    f"{stored / 2**20:,.1f} MiB in the file is {most / 2**20:,.0f} MiB: use a folder of pictures, "
                    "which has no such limit"
                )
            if kind.dtype.hasobject or not kind.dtype.itemsize:
                raise ValueError(f"its {name} holds objects, not numbers")
            content = filled(file, kind.nbytes, name)
        return content.view(kind.dtype).reshape(kind.shape, order="F" if kind.fortran else "C")

    @contextmanager
    def member(self, name: str) -> Iterator[BinaryIO]:
        """The opened member `name`.npy. Raises ValueError unless the archive has exactly one."""
        if self.names.count(f"{name}.npy") != 1:
            raise ValueError(f"it holds {name} more than once")
        with self.archive.open(f"{name}.npy") as file:
            yield file  # type: ignore[misc]


@contextmanager
def opened(path: Path) -> Iterator[Packed]:
    """A context manager that opens an .npz.

    Raises ValueError when the file is not an .npz or is damaged, OSError when it cannot be read.
    """
    with open_regular(path) as file:
        try:
            members_of(file)
            with zipfile.ZipFile(file) as archive:
                yield Packed(archive, os.fstat(file.fileno()).st_size)
        except DAMAGED as error:
            raise ValueError(
                f"it is not an .npz ({' '.join(str(error).split())[:80] or type(error).__name__})"
            ) from None


def header(file: BinaryIO) -> Kind:
    """Reads the header of an .npy file. Raises ValueError when it is not one that numpy writes."""
    version = npy.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"it is written in version {version} of numpy's format, not 1 or 2")
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    try:
        shape, fortran, dtype = read(file)
    except Exception:  # numpy parses the header with Python's parser, which can raise almost any exception
        raise ValueError("it has a header that numpy does not write") from None
    if any(type(side) is not int or side < 0 for side in shape):
        raise ValueError(f"its shape is {str(shape)[:80]}")
    return Kind(shape, fortran, dtype)


def filled(file: BinaryIO, count: int, name: str) -> np.ndarray:
    """(count,) uint8, read in pieces, so that a member that is cut short never occupies the memory that it claims."""
    content = np.empty(count, np.uint8)
    view, done = content.data, 0
    while done < count:
        piece = file.read(min(PIECE, count - done))
        if not piece:
            raise ValueError(f"its {name} is cut short")
        view[done : done + len(piece)] = piece
        done += len(piece)
    return content
