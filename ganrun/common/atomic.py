"""atomic: the only module that creates files. A file is complete or absent, and never outside its folder.

A folder that somebody else made may hold links with the names that we are about to write. So a folder is held open
while something is made in it, no link is followed below a folder that the user named, and what is not finished has a
name that nobody can guess. Windows has no descriptors of folders and no O_NOFOLLOW: there the same is asked by path,
a moment before.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, BinaryIO

from ganrun.common.regular_files import kind

HAS_DIR_FD = {os.open, os.mkdir, os.unlink, os.stat, os.rename} <= os.supports_dir_fd and hasattr(os, "O_NOFOLLOW")
NOFOLLOW, CLOEXEC = getattr(os, "O_NOFOLLOW", 0), getattr(os, "O_CLOEXEC", 0)
BINARY, NONBLOCK = getattr(os, "O_BINARY", 0), getattr(os, "O_NONBLOCK", 0)
FOLDER = os.O_RDONLY | CLOEXEC | getattr(os, "O_DIRECTORY", 0)
NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | NOFOLLOW | CLOEXEC | BINARY
APPENDED = os.O_WRONLY | os.O_APPEND | os.O_CREAT | NOFOLLOW | NONBLOCK | CLOEXEC | BINARY
UNFINISHED = re.compile(r"\.(?P<of>.+?)(\.[0-9a-f]{16})?\.part", re.DOTALL)  # without digits: of older versions
HOUR = 3600.0


# -- a folder that is held open -------------------------------------------------------------------------------------


class OpenFolder:
    """A folder, held open where the system can: what is done in it happens there, whatever its path leads to by then.

    `inside` is a folder that the user named: those below it are no links, and with `make` they are made where they are
    missing.
    Raises OSError.
    """

    descriptor: int | None = None

    def __init__(self, folder: Path, inside: Path | None = None, make: bool = True) -> None:
        self.folder, self.make = folder, make
        below = folder.relative_to(inside).parts if inside is not None else ()
        if HAS_DIR_FD:
            self.descriptor = self.opened(inside or folder, below)
        else:
            self.asked(inside or folder, below)

    def __enter__(self) -> OpenFolder:
        return self

    def __exit__(self, *_: object) -> None:
        if self.descriptor is not None:
            os.close(self.descriptor)

    def opened(self, root: Path, below: tuple[str, ...]) -> int:
        held = os.open(root, FOLDER)
        for name in below:
            try:
                deeper = descended(name, held, self.make)
            except OSError as error:
                raise named(error, self.folder) from None
            finally:
                os.close(held)
            held = deeper
        return held

    def asked(self, root: Path, below: tuple[str, ...]) -> None:
        """The same without descriptors."""
        for name in below:
            root = root / name
            if self.make:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(root)
            if not stat.S_ISDIR(os.lstat(root).st_mode) or os.path.realpath(root) != os.path.join(
                os.path.realpath(root.parent), name
            ):
                raise NotADirectoryError(errno.ENOTDIR, "is a link, or no folder", str(root))

    def path(self, name: str) -> str:
        return name if HAS_DIR_FD else str(self.folder / name)

    def open(self, name: str, flags: int) -> int:
        return os.open(self.path(name), flags, 0o666, dir_fd=self.descriptor)

    def state(self, name: str) -> os.stat_result:
        """Does not follow links."""
        return os.stat(self.path(name), dir_fd=self.descriptor, follow_symlinks=False)

    def replace(self, old: str, new: str) -> None:
        os.replace(self.path(old), self.path(new), src_dir_fd=self.descriptor, dst_dir_fd=self.descriptor)

    def unlink(self, name: str) -> None:
        os.unlink(self.path(name), dir_fd=self.descriptor)

    def link(self, old: str, new: str) -> None:
        os.link(self.path(old), self.path(new), src_dir_fd=self.descriptor, dst_dir_fd=self.descriptor)

    def names(self) -> list[str]:
        return os.listdir(self.folder if self.descriptor is None else self.descriptor)

    def flush(self) -> None:
        """Make a rename durable; some file systems cannot, and that is no reason to stop."""
        if self.descriptor is not None:
            with contextlib.suppress(OSError):
                os.fsync(self.descriptor)


def descended(name: str, held: int, make: bool) -> int:
    """The descriptor of a folder in an open one."""
    if name == "..":
        raise NotADirectoryError(errno.ENOTDIR, "leads out of its folder", name)
    if make:
        with contextlib.suppress(FileNotFoundError):
            return os.open(name, FOLDER | NOFOLLOW, dir_fd=held)
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, dir_fd=held)
    return os.open(name, FOLDER | NOFOLLOW, dir_fd=held)


def named(error: OSError, folder: Path) -> OSError:
    """The same error with a message that names the folder."""
    if os.path.islink(folder) or isinstance(error, NotADirectoryError):
        return NotADirectoryError(error.errno, "is a link, or no folder", str(folder))
    return OSError(error.errno, error.strerror, str(folder))


# -- files as a whole -----------------------------------------------------------------------------------------------


@contextlib.contextmanager
def atomic_write(path: Path, inside: Path | None = None, durable: bool = False) -> Iterator[BinaryIO]:
    """A new file to write to. It replaces `path` when the block ends without an error; otherwise it is deleted.

    With `inside` the folders between it and `path` are made where they are missing; else the folder must be there.
    `durable` waits until the data are on the disk (fsync).
    """
    with OpenFolder(path.parent, inside) as place:
        temporary = unguessable(path.name)
        descriptor = place.open(temporary, NEW)
        try:
            with os.fdopen(descriptor, "wb+") as file:
                yield file
                file.flush()
                if durable:
                    os.fsync(file.fileno())
            place.replace(temporary, path.name)  # a kill or a full disk leaves no half of a file
        except BaseException:
            with contextlib.suppress(OSError):
                place.unlink(temporary)
            raise
        if durable:
            place.flush()


def write_bytes(path: Path, content: bytes, inside: Path | None = None) -> None:
    with atomic_write(path, inside) as file:
        file.write(content)


def write_text(path: Path, text: str, inside: Path | None = None) -> None:
    write_bytes(path, text.encode("utf-8", "backslashreplace"), inside)


def same_file(path: Path, name: str, inside: Path | None = None) -> None:
    """Create a hard link `name` beside `path`, or an atomic copy where hard links are not supported."""
    with OpenFolder(path.parent, inside) as place:
        temporary = unguessable(name)
        try:
            try:
                place.link(path.name, temporary)
            except (OSError, NotImplementedError):
                copied(place, path.name, temporary)
            place.replace(temporary, name)
        finally:
            with contextlib.suppress(OSError):  # two names of one file: then a rename does nothing
                place.unlink(temporary)
        place.flush()


def copied(place: OpenFolder, name: str, new: str) -> None:
    source = place.open(name, os.O_RDONLY | NOFOLLOW | NONBLOCK | CLOEXEC | BINARY)
    with os.fdopen(source, "rb") as old, os.fdopen(place.open(new, NEW), "wb") as file:
        shutil.copyfileobj(old, file)


def unguessable(name: str) -> str:
    """A hidden temporary name that nobody can guess before the file exists."""
    return f".{name}.{secrets.token_hex(8)}.part"


# -- files that grow ------------------------------------------------------------------------------------------------


def append(path: Path, inside: Path | None = None, newline: str | None = None) -> IO[str]:
    """A text file to add lines to, new or old. Raises OSError for a link, a pipe, or a file that has a second name."""
    with OpenFolder(path.parent, inside) as place:
        with contextlib.suppress(FileNotFoundError):  # for a clear message; the check after opening is the safe one
            if problem := unfit(place.state(path.name)):
                raise OSError(errno.EINVAL, problem, str(path))
        descriptor = place.open(path.name, APPENDED)
        if problem := unfit(os.fstat(descriptor)):
            os.close(descriptor)
            raise OSError(errno.EINVAL, problem, str(path))
        return os.fdopen(descriptor, "a", encoding="utf-8", errors="backslashreplace", newline=newline)


def unfit(found: os.stat_result) -> str | None:
    """Why nothing may be appended to a file with this stat result; None if appending is safe."""
    if not stat.S_ISREG(found.st_mode):
        return f"is {kind(found.st_mode)}, not a file"
    return "has a second name elsewhere (a hard link)" if found.st_nlink > 1 else None


# -- folders, and what goes away ------------------------------------------------------------------------------------


def make_folder(folder: Path, parents: bool = True) -> None:
    """A folder that the user named; a link to a folder is the user's own."""
    folder.mkdir(parents=parents, exist_ok=True)


def remove(path: Path, inside: Path | None = None) -> None:
    """Delete a file. A link is deleted, never its target. A missing file is no error."""
    with contextlib.suppress(FileNotFoundError), OpenFolder(path.parent, inside, make=False) as place:
        place.unlink(path.name)


def clear(folder: Path, inside: Path | None = None, older: float = 0.0, of: str = "*") -> None:
    """Delete temporary files of killed processes that are at least `older` seconds old. Other files stay.

    `of` is the name of the intended file; "*" means any file.
    """
    with contextlib.suppress(OSError), OpenFolder(folder, inside, make=False) as place:
        for name in place.names():
            match = UNFINISHED.fullmatch(name)
            if match is None or of not in ("*", match["of"]):
                continue
            with contextlib.suppress(OSError):
                found = place.state(name)
                if stat.S_ISREG(found.st_mode) and time.time() - found.st_mtime >= older:
                    place.unlink(name)
