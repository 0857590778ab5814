"""Shards: pictures in .tar files with WebDataset's layout, read without unpacking. This file does not import torch."""

from __future__ import annotations

import contextlib
import glob
import hashlib
import io
import itertools
import json
import os
import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol, cast

from ganrun.common.atomic import make_folder, write_text
from ganrun.common.untrusted import MAX_MEMBERS, printable
from ganrun.data.cache_folder import user_cache
from ganrun.data.sources import Picture, checked_size, is_array, is_picture

MAX_HEADER = 2**20  # bytes of a header; real ones have hundreds, but a hostile one may claim gigabytes
MAX_LABEL = 2**16  # bytes of a .cls or .json
MAX_SHARDS = 10**5
RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
INDEX = 1  # the version of the stored index: raise it whenever the list of a shard's pictures would change


class Row(NamedTuple):
    """A picture of one shard."""

    name: str  # the path in the .tar
    offset: int  # the position of its bytes in the .tar
    size: int  # bytes
    label: str | None  # its class, if the shard has one


class ShardFile(Protocol):
    """A file with a shard, on this machine or behind a URL."""

    def __str__(self) -> str: ...

    def state(self) -> tuple[int, int]:
        """(size in bytes, a number that changes when the content changes)."""
        ...

    def open(self) -> BinaryIO: ...

    def read(self, offset: int, size: int) -> bytes: ...


class Shards:
    """A source of pictures in .tar files, with their names in these files.

    The class of a picture is the content of `key.cls`, or the entry "label" of `key.json`. When two shards have a
    picture with the same name, the name of the shard is added to the second. Links, special members and paths out of
    the archive are left out. The list of a shard's pictures is stored in the user's cache folder until it changes.
    Raises ValueError for a damaged shard.
    """

    def __init__(self, root: str, places: Sequence[ShardFile]) -> None:
        self.root, self.places = Path(root), places
        self.notes: list[str] = []
        self.labels: dict[str, str] = {}

    def pictures(self) -> list[Picture]:
        self.notes.clear()
        self.labels.clear()
        found: dict[str, Picture] = {}
        for number, place in enumerate(self.places):
            size, stamp = place.state()
            rows, notes = indexed(place, size, stamp, str(self.root))
            self.notes += notes
            for row in rows:
                name = row.name if found.get(row.name, (0,) * 4)[3] in (0, number + 1) else own_name(place, row.name)
                found[name] = Picture(name, row.size, stamp, number + 1, row.offset)
                if row.label is not None:
                    self.labels[name] = row.label
        return sorted(found.values())

    def read(self, picture: Picture) -> bytes:
        checked_size(picture)
        return self.places[picture.shard - 1].read(picture.offset, picture.size)


def own_name(place: ShardFile, name: str) -> str:
    """The name with that of its shard: cats/0.jpg in part-1.tar -> cats/part-1:0.jpg. The folder, its class, stays."""
    folder, slash, last = name.rpartition("/")
    return f"{folder}{slash}{Path(str(place)).stem}:{last}"


# -- files with shards ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Local:
    """A shard on this machine."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    def state(self) -> tuple[int, int]:
        found = self.path.stat()
        return found.st_size, found.st_mtime_ns

    def open(self) -> BinaryIO:
        return open(self.path, "rb")

    def read(self, offset: int, size: int) -> bytes:
        # opened for each call, because threads and worker processes read at the same time
        with open(self.path, "rb", buffering=0) as file:
            file.seek(offset)
            return file.read(size)


@dataclass(frozen=True)
class Remote:
    """A shard behind a URL, read with fsspec. Each worker process opens its own connections."""

    url: str

    def __str__(self) -> str:
        return self.url

    @contextlib.contextmanager
    def reached(self) -> Iterator[tuple[Any, str]]:
        """A context manager: fsspec's file system and the path in it.

        Raises ValueError when a package is missing; any other error becomes a FileNotFoundError.
        """
        try:
            import fsspec

            yield fsspec.core.url_to_fs(self.url)
        except ImportError as error:
            raise ValueError(f"{self.url} needs another package ({error}): pip install 'ganrun[shards]'") from None
        except Exception as error:  # each of fsspec's many file systems has its own exceptions
            reason = (str(error).strip().splitlines() or [""])[0]
            raise FileNotFoundError(f"{self.url} cannot be read: {type(error).__name__} {reason}".rstrip()) from error

    def state(self) -> tuple[int, int]:
        with self.reached() as (system, path):
            key = hashlib.sha256(str(system.ukey(path)).encode()).hexdigest()
            return int(system.size(path)), int(key[:15], 16)

    def open(self) -> BinaryIO:
        with self.reached() as (system, path):
            return cast(BinaryIO, system.open(path, "rb"))

    def read(self, offset: int, size: int) -> bytes:
        with self.reached() as (system, path):
            return cast(bytes, system.cat_file(path, start=offset, end=offset + size))


def is_url(root: object) -> bool:
    return isinstance(root, str) and "://" in root


def open_shards(root: str | os.PathLike[str]) -> Shards | None:
    """The shards at `root`: a URL, a pattern, a .tar, or a folder of .tar files; None when it is none of these.

    Raises FileNotFoundError when a pattern matches no file, or when a shard is missing.
    """
    text = str(root)
    if is_url(text):
        return Shards(text, [Remote(url) for url in expanded(text)])
    path = Path(text).expanduser()
    if path.is_dir():
        found = tars_of(path)
        return Shards(text, [Local(tar) for tar in found]) if found else None
    if path.exists():
        return Shards(text, [Local(path)]) if path.is_file() and path.suffix.lower() == ".tar" else None
    if not (RANGE.search(text) or glob.has_magic(text)):
        return None
    paths = [Path(name) for word in expanded(str(path)) for name in matching(word)]
    missing = [tar for tar in paths if not tar.is_file()]
    if missing or not paths:
        what = f"{missing[0]} is not there" if missing else "no file has such a name"
        raise FileNotFoundError(f"dataset.root={root}: {what} ({len(missing)} of {len(paths)} shards are missing)")
    return Shards(text, [Local(tar) for tar in paths])


def matching(word: str) -> list[str]:
    """The files that match a pattern, sorted; a word that is no pattern stays as it is."""
    return sorted(glob.glob(word)) if glob.has_magic(word) else [word]


def expanded(text: str) -> list[str]:
    """part-{000..127}.tar -> part-000.tar, ..., part-127.tar. Raises ValueError for none or too many."""
    parts = RANGE.split(text)
    choices = [
        [f"{n:0{len(low)}d}" for n in range(int(low), min(int(high), int(low) + MAX_SHARDS) + 1)]
        for low, high in zip(parts[1::3], parts[2::3], strict=True)
    ]
    names = [
        "".join(itertools.chain.from_iterable(itertools.zip_longest(parts[::3], chosen, fillvalue="")))
        for chosen in itertools.islice(itertools.product(*choices), MAX_SHARDS + 1)
    ]
    if len(names) > MAX_SHARDS or not names:
        raise ValueError(f"dataset.root={text} names {'too many' if names else 'no'} shards: use 1 to {MAX_SHARDS}")
    return names


def tars_of(folder: Path) -> list[Path]:
    """The .tar files of a folder, sorted; none when the folder also has pictures or sub-folders."""
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir() or (is_picture(entry.name) and not is_array(entry.name)):
                return []
            if entry.name.lower().endswith(".tar") and entry.is_file():
                found.append(Path(entry.path))
    return sorted(found)


def refuse_unknown(node: Any) -> None:
    """Raises ValueError when the node of a data set, read from a file, has a URL that this user has not read before.

    A file that somebody else made must not start a download.
    """
    for value in node.values() if isinstance(node, Mapping) else node if isinstance(node, list) else ():
        refuse_unknown(value)
        if is_url(value) and not all(index_file(Remote(url)).exists() for url in expanded(value)):
            raise ValueError(
                f"dataset.root={printable(value)}: a URL in a file is not downloaded; if you trust it, read it once "
                f"yourself: ganrun train dataset=folder dataset.root={printable(value)} dry_run=true"
            )


# -- the content of a shard -----------------------------------------------------------------------------------------


def indexed(place: ShardFile, size: int, stamp: int, root: str) -> tuple[list[Row], list[str]]:
    """The pictures of a shard and notes about members that are left out, from the stored index if it is up to date.

    Raises ValueError for a damaged shard.
    """
    index = index_file(place)
    try:
        stored = json.loads(index.read_text(encoding="utf-8"))
        if stored["made"] == [INDEX, size, stamp]:
            return [Row(str(n), int(o), int(s), None if c is None else str(c)) for n, o, s, c in stored["rows"]], [
                str(note) for note in stored["notes"]
            ]
    except (OSError, ValueError, KeyError, TypeError):
        pass
    try:
        with place.open() as file:
            rows, notes = walked(file)
    except DAMAGED as error:
        reason = str(error) or type(error).__name__
        raise ValueError(f"dataset.root={root}: {place} is a damaged .tar: {reason}") from error
    with contextlib.suppress(OSError):  # when the index cannot be stored, the shard is read through again next time
        make_folder(index.parent)
        write_text(index, json.dumps({"made": [INDEX, size, stamp], "rows": rows, "notes": notes}))
    return rows, notes


def index_file(place: ShardFile) -> Path:
    """The file in the user's cache folder that stores the index of a shard."""
    where = str(place.path.absolute()) if isinstance(place, Local) else str(place)
    return user_cache() / "shards" / f"{hashlib.sha256(os.fsencode(where)).hexdigest()[:32]}.json"


DAMAGED = (tarfile.TarError, ValueError, OverflowError, RecursionError, EOFError, IndexError, MemoryError)


class Headers(io.RawIOBase):
    """A file for `tarfile` that refuses long reads: `tarfile` reads as many bytes as a header claims to have."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= MAX_HEADER:
            raise tarfile.ReadError(f"a header of {size} bytes")
        return self.file.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self.file.seek(offset, whence)

    def tell(self) -> int:
        return self.file.tell()


def walked(file: BinaryIO) -> tuple[list[Row], list[str]]:
    """The pictures of a .tar with their labels, and one line for each picture that is left out.

    Raises one of DAMAGED when the .tar is cut short or invalid.
    """
    pictures: list[Row] = []
    labels: dict[str, str] = {}
    notes: list[str] = []
    for member in members(file):
        name = member.name.removeprefix("./")
        suffix = name.lower().rpartition(".")[2]
        is_regular = member.isreg() and not member.issparse()
        if is_picture(name) and not is_regular:
            notes.append(f"{name!r} is left out: not a regular file")
        elif is_picture(name) and (name.startswith("/") or ".." in name.split("/")):
            notes.append(f"{name!r} is left out: a path out of the .tar")
        elif is_picture(name):
            pictures.append(Row(name, member.offset_data, member.size, None))
        elif suffix in ("cls", "json") and is_regular and member.size <= MAX_LABEL and key_of(name) not in labels:
            file.seek(member.offset_data)
            if label := label_of(suffix, file.read(member.size)):
                labels[key_of(name)] = label
    return [row._replace(label=labels.get(key_of(row.name))) for row in pictures], notes


def members(file: BinaryIO) -> Iterator[tarfile.TarInfo]:
    """The members of a .tar. Raises one of DAMAGED when the .tar is cut short or invalid, or has too many members."""
    with tarfile.open(fileobj=Headers(file), mode="r:", errorlevel=2) as tar:  # type: ignore[call-overload]
        last = -1
        for count in itertools.count():
            member = tar.next()
            if member is None:
                break
            if member.offset <= last or member.size < 0:  # CVE-2025-8194: otherwise tarfile would loop for ever
                raise tarfile.ReadError(f"{printable(member.name)!r:.80} has an impossible size")
            if count >= MAX_MEMBERS:
                raise tarfile.ReadError(f"more than {MAX_MEMBERS} members: divide it into several shards")
            last, tar.members = member.offset, []  # type: ignore[attr-defined]  # tarfile would keep all in memory
            yield member
        file.seek(tar.offset)
        if file.read(tarfile.BLOCKSIZE).strip(b"\0"):
            raise tarfile.ReadError("after its last member there is something that is not a header")


def key_of(name: str) -> str:
    """The part of a name that all files of a sample have in common: the path up to the first dot in the file name."""
    folder, slash, last = name.rpartition("/")
    return folder + slash + last.partition(".")[0]


def label_of(suffix: str, data: bytes) -> str | None:
    """The class in the content of a .cls or .json, at most 80 letters; None when there is no class in it."""
    try:
        text = data.decode()
        label = json.loads(text) if suffix == "json" else text.strip()
    except (ValueError, RecursionError):
        return None
    label = label.get("label") if isinstance(label, Mapping) else None if suffix == "json" else label
    is_class = isinstance(label, (int, str)) and not isinstance(label, bool)
    return str(label)[:80] or None if is_class else None
