"""Where pictures lie: a folder tree, a .zip or .tar shards, listed and read without trusting either (no torch here)."""

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

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")
IN_FULL = 10  # warnings printed in full; the rest are counted


class Picture(NamedTuple):
    """One image file: what the cache compares to notice a change."""

    name: str  # path below the root, joined by "/"
    size: int  # bytes
    stamp: int  # time of change in ns, or the CRC of a zip member
    shard: int = 0  # which .tar it is in, counted from 1
    offset: int = 0  # bytes, in its .tar


class Source(Protocol):
    root: Path
    notes: list[str]  # what was left out, and why
    labels: dict[str, str]  # {name of a picture: its class}, where the source itself says it

    def pictures(self) -> list[Picture]:
        """All images, sorted by name."""
        ...

    def read(self, picture: Picture) -> bytes:
        """The file as it is stored. Raises ValueError when it is too large; safe to call from several threads."""
        ...


def open_source(root: str | os.PathLike[str] | None) -> Source:
    """The folder, .zip or shards at `root`. Raises ValueError or FileNotFoundError when it is none of them."""
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
    """One warning a line, then how many more there are."""
    for line in lines[:IN_FULL]:
        log.warning("%s", line)
    if len(lines) > IN_FULL:
        log.warning("... and %d more", len(lines) - IN_FULL, extra={"more": len(lines) - IN_FULL})


def is_picture(name: str) -> bool:
    """An image by its suffix; dot files and what macOS adds to a .zip are none."""
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))
    return name.lower().endswith(SUFFIXES) and not hidden


def checked_size(picture: Picture) -> Picture:
    """Raises ValueError for a file above the cap, before a byte of it is read."""
    if picture.size > MAX_BYTES:
        raise ValueError(f"{picture.size / 2**20:.0f} MiB, more than the {MAX_BYTES // 2**20} MiB an image may have")
    return picture


class Tree:
    """A folder with its sub-folders. Links that lead out of it, links to folders and special files are left out."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.notes: list[str] = []
        self.labels: dict[str, str] = {}
        self.inside = root.resolve()

    def pictures(self) -> list[Picture]:
        self.notes.clear()
        return sorted(self.walk())

    def walk(self) -> Iterator[Picture]:
        pending = [""]  # a stack, not recursion: a hostile tree may be deep
        while pending:
            prefix = pending.pop()
            for entry in self.scan(prefix):
                name = prefix + entry.name
                if entry.is_dir(follow_symlinks=False):
                    pending.append(name + "/")
                elif entry.is_symlink() and self.leads_astray(entry):
                    self.notes.append(f"{name!r} is left out: a link to a folder, to nothing or out of the root")
                elif is_picture(name):
                    yield from self.regular(name, entry.stat())

    def scan(self, prefix: str) -> list[os.DirEntry[str]]:
        try:
            return list(os.scandir(self.inside / prefix))
        except PermissionError as error:
            raise ValueError(f"dataset.root={self.root}: the folder {prefix!r} may not be read") from error

    def leads_astray(self, link: os.DirEntry[str]) -> bool:
        target = Path(os.path.realpath(link.path))
        return not target.is_relative_to(self.inside) or not target.exists() or target.is_dir()

    def regular(self, name: str, found: os.stat_result) -> Iterator[Picture]:
        if stat.S_ISREG(found.st_mode):
            yield Picture(name, found.st_size, found.st_mtime_ns)
        else:  # reading a pipe would wait for ever
            self.notes.append(f"{name!r} is left out: not a regular file")

    def read(self, picture: Picture) -> bytes:
        checked_size(picture)
        with open(self.inside / picture.name, "rb") as file:
            return file.read(picture.size)  # what grew since the listing is cut, and so broken


class Archive:
    """A .zip, read member by member and never extracted."""

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
        if self.process != os.getpid():  # a forked worker must not move the position that others read from
            self.opened, self.process = zipfile.ZipFile(self.root), os.getpid()
        return self.opened

    def pictures(self) -> list[Picture]:
        self.notes.clear()
        return sorted({member.filename: picture for member, picture in self.members()}.values())

    def members(self) -> Iterator[tuple[zipfile.ZipInfo, Picture]]:
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
            return file.read(picture.size + 1)  # asking one more makes zipfile check the CRC at the end
