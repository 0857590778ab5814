"""Reads regular files only, opened once and up to a size limit: pipes and devices are refused. No torch."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

# O_NONBLOCK: a pipe that nobody writes to answers at once. Windows has only the last of these flags, and needs it.
FLAGS = (
    os.O_RDONLY
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_NOCTTY", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)
KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFLNK: "a symbolic link",
}


def kind(mode: int) -> str:
    """What a mode of `os.stat` says that something is, in words for a message: "a pipe"."""
    return KINDS.get(stat.S_IFMT(mode), "a file" if stat.S_ISREG(mode) else "something of an unknown kind")


def open_regular(path: Path) -> BinaryIO:
    """A regular file, opened for reading. A link is followed to the file that it names.

    Raises OSError when it cannot be opened, and ValueError when it is a pipe, a device or a folder.
    """
    try:
        descriptor = os.open(path, FLAGS)
    except OSError as error:
        if error.errno in (errno.ENXIO, errno.EOPNOTSUPP):  # what a socket answers
            raise ValueError(f"{path} is a socket or a device, not a file") from None
        raise
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        os.close(descriptor)
        raise ValueError(f"{path} is {kind(found.st_mode)}, not a file")
    return os.fdopen(descriptor, "rb")


def read_regular(path: Path, limit: int) -> bytes:
    """The content of a regular file of at most `limit` bytes. Raises what `open_regular` raises, and ValueError."""
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > limit:
            raise ValueError(f"{path} is larger than the limit of {limit:,} bytes")
        return file.read(size)  # allocates `size` bytes, never `limit`; bytes appended meanwhile are not read


def read_text(path: Path, limit: int) -> str:
    """The same for a text in UTF-8. Raises OSError and ValueError as well."""
    try:
        return read_regular(path, limit).decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not text in UTF-8 (its byte {error.start})") from None
