"""Sources of pictures: a folder tree, a .zip or .tar shards. The files may be hostile. This file has no torch."""

from __future__ import annotations

import logging
import os
import stat
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from ganrun.common.pictures import MAX_BYTES
from ganrun.common.untrusted import members_of

log = logging.getLogger(__name__)

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".npy")
IN_FULL = 10  # warnings that are printed; further ones are only counted


class Picture(NamedTuple):
    """One image file. The cache compares name, size and stamp to find out whether it has changed."""

    name: str  # path below the root, with "/" between its parts
    size: int  # bytes
    stamp: int  # time of the last change in ns, or the CRC of a member of a .zip
    shard: int = 0  # the number of its .tar, from 1; 0: not in a .tar
    offset: int = 0  # position in its .tar, in bytes


class Source(Protocol):
    """A place with pictures, at `root`."""

    root: Path
    notes: list[str]  # one line for each file that is left out, with the reason
    labels: dict[str, str]  # {name of a picture: its class}; empty when the source itself has no labels

    def pictures(self) -> list[Picture]:
        """All images, sorted by name."""
        ...

    def read(self, picture: Picture) -> bytes:
        """The encoded bytes of a picture. Several threads may call it. Raises ValueError when the file is too large."""
        ...


def open_source(root: str | os.PathLike[str] | None) -> Source:
    """The folder, .zip or shards at `root`. Raises ValueError or FileNotFoundError when there is no such thing."""
    from ganrun.data.shards import open_shards

    if not root:
        raise ValueError("dataset.root is needed: a folder or .zip of images, or .tar shards")
    if shards := open_shards(root):
        return shards
    path = Path(root).expanduser()
    if path.is_dir():
        return Tree(path)
    if not path.exists():
        raise FileNotFoundError(f"dataset.root={root}: there is no such folder or .zip ({path.absolute()})")
    if path.is_file() and zipfile.is_zipfile(path):
        return Archive(path)
    raise ValueError(f"dataset.root={root} is neither a folder nor a .zip or .tar of images")


def warn_each(lines: Sequence[str]) -> None:
    """Logs a warning for each line, up to IN_FULL lines, then the number of further lines."""
    for line in lines[:IN_FULL]:
        log.warning("%s", line)
    if len(lines) > IN_FULL:
        log.warning("... and %d more", len(lines) - IN_FULL, extra={"more": len(lines) - IN_FULL})


def is_picture(name: str) -> bool:
    """Whether the name has the suffix of an image. Hidden files, and those that macOS adds to a .zip, do not count."""
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))
    return name.lower().endswith(SUFFIXES) and not hidden


def without_arrays(pictures: list[Picture]) -> list[Picture]:
    """The pictures without any .npy, unless there is nothing else: beside pictures it holds labels or features."""
    return [picture for picture in pictures if not is_array(picture.name)] or pictures


def is_array(name: str) -> bool:
    return name.lower().endswith(".npy")


def checked_size(picture: Picture) -> Picture:
    """The picture. Raises ValueError, before any of the file is read, when it is larger than MAX_BYTES."""
    if picture.size > MAX_BYTES:
        raise ValueError(f"{picture.size / 2**20:.0f} MiB, more than the {MAX_BYTES // 2**20} MiB an image may have")
    return picture


class Tree:
    """A folder with its sub-folders. Symbolic links out of it or to folders, and special files, are left out."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.notes: list[str] = []
        self.labels: dict[str, str] = {}
        self.inside = root.resolve()

    def pictures(self) -> list[Picture]:
        self.notes.clear()
        return sorted(self.walk())

    def walk(self) -> Iterator[Picture]:
        """All pictures of the tree, in no particular order; fills `notes`."""
        pending = [""]  # a stack and not recursion, because a hostile tree may be deeper than Python can recurse
        while pending:
            prefix = pending.pop()
            for entry in self.scan(prefix):
                name = prefix + entry.name
                if entry.is_dir(follow_symlinks=False):
                    pending.append(name + "/")
                elif entry.is_symlink() and self.is_unsafe_link(entry):
                    self.notes.append(f"{name!r} is left out: a link to a folder, to nothing or out of the root")
                elif is_picture(name):
                    yield from self.regular(name, entry.stat())

    def scan(self, prefix: str) -> list[os.DirEntry[str]]:
        """The entries of a sub-folder. Raises ValueError without permission to read it."""
        try:
            return list(os.scandir(self.inside / prefix))
        except PermissionError as error:
            raise ValueError(f"dataset.root={self.root}: no permission to read the folder {prefix!r}") from error

    def is_unsafe_link(self, link: os.DirEntry[str]) -> bool:
        """Whether the link goes out of the root, to a folder, or to nothing."""
        target = Path(os.path.realpath(link.path))
        return not target.is_relative_to(self.inside) or not target.exists() or target.is_dir()

    def regular(self, name: str, found: os.stat_result) -> Iterator[Picture]:
        """The picture if it is a regular file; otherwise nothing, with a line in `notes`."""
        if stat.S_ISREG(found.st_mode):
            yield Picture(name, found.st_size, found.st_mtime_ns)
        else:  # for example a pipe: reading it would wait for ever
            self.notes.append(f"{name!r} is left out: not a regular file")

    def read(self, picture: Picture) -> bytes:
        checked_size(picture)
        with open(self.inside / picture.name, "rb") as file:
            return file.read(picture.size)  # a file that has grown since the listing is cut, so it counts as broken


class Archive:
    """A .zip. Its members are read one by one and never extracted."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.notes: list[str] = []
        self.labels: dict[str, str] = {}
        try:
            with open(root, "rb") as file:
                members_of(file)
            self.opened, self.process = zipfile.ZipFile(root), os.getpid()
        except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
            raise ValueError(f"dataset.root={root} is a damaged .zip: {error}") from error

    def __reduce__(self) -> tuple[Any, ...]:
        return Archive, (self.root,)

    @property
    def zip(self) -> zipfile.ZipFile:
        """The opened .zip of this process."""
        # forked processes share the position in an open file, so a worker needs a file of its own
        if self.process != os.getpid():
            self.opened, self.process = zipfile.ZipFile(self.root), os.getpid()
        return self.opened

    def pictures(self) -> list[Picture]:
        self.notes.clear()
        return sorted({member.filename: picture for member, picture in self.members()}.values())

    def members(self) -> Iterator[tuple[zipfile.ZipInfo, Picture]]:
        """The members that are pictures; fills `notes`. Raises ValueError for an encrypted member."""
        for member in self.zip.infolist():
            name = member.filename
            if member.is_dir() or not is_picture(name):
                continue
            if member.flag_bits & 1:
                raise ValueError(f"dataset.root={self.root}: {name!r} is encrypted; unpack the .zip first")
            if stat.S_ISLNK(member.external_attr >> 16) or name.startswith("/"):
                self.notes.append(f"{name!r} is left out: a link or a path out of the .zip")
            else:
                yield member, Picture(name, member.file_size, member.CRC)

    def read(self, picture: Picture) -> bytes:
        checked_size(picture)
        with self.zip.open(picture.name) as file:
            return file.read(picture.size + 1)  # zipfile checks the CRC only when it reaches the end of the member
