"""Shards: pictures in .tar files as WebDataset lays them out, read in place by their offsets (no torch here)."""

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
from ganrun.data.sources import Picture, checked_size, is_picture

MAX_HEADER = 2**20  # bytes of one header: a name takes hundreds, and one may claim gigabytes
MAX_LABEL = 2**16  # bytes of a .cls or .json
MAX_SHARDS = 10**5
RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
INDEX = 1  # to be raised whenever the same shard would be listed otherwise


class Row(NamedTuple):
    """A picture of one shard."""

    name: str
    offset: int
    size: int
    label: str | None


class ShardFile(Protocol):
    """Where a shard lies."""

    def __str__(self) -> str: ...

    def state(self) -> tuple[int, int]:
        """(bytes, a number that changes with the content)."""
        ...

    def open(self) -> BinaryIO: ...

    def read(self, offset: int, size: int) -> bytes: ...


class Shards:
    """Pictures named as in their .tar files; `labels` has what `key.cls` or the "label" of `key.json` says of each.

    A name that an earlier shard has too gains its own shard's name. Links, other special members and paths out of the
    archive are left out. What the headers say is kept in the user's cache folder until a shard changes.
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
    """cats/0.jpg of part-1.tar -> cats/part-1:0.jpg, of the same class."""
    folder, slash, last = name.rpartition("/")
    return f"{folder}{slash}{Path(str(place)).stem}:{last}"


# -- where shards lie -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Local:
    path: Path

    def __str__(self) -> str:
        return str(self.path)

    def state(self) -> tuple[int, int]:
        found = self.path.stat()
        return found.st_size, found.st_mtime_ns

    def open(self) -> BinaryIO:
        return open(self.path, "rb")

    def read(self, offset: int, size: int) -> bytes:
        with open(self.path, "rb", buffering=0) as file:  # a handle of its own: threads and workers read at once
            file.seek(offset)
            return file.read(size)


@dataclass(frozen=True)
class Remote:
    """A shard behind a URL, through fsspec; workers open connections of their own."""

    url: str

    def __str__(self) -> str:
        return self.url

    @contextlib.contextmanager
    def reached(self) -> Iterator[tuple[Any, str]]:
        """The file system and the path in it. Whatever goes wrong becomes one OSError."""
        try:
            import fsspec

            yield fsspec.core.url_to_fs(self.url)
        except ImportError as error:
            raise ValueError(f"{self.url} needs another package ({error}): pip install 'ganrun[shards]'") from None
        except Exception as error:  # each of fsspec's many file systems has errors of its own
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
    """The shards of a URL, a pattern, a .tar or a folder of nothing but .tar files; None where `root` is none of them.

    Raises FileNotFoundError for a pattern that matches nothing and a shard that is not there.
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
    return sorted(glob.glob(word)) if glob.has_magic(word) else [word]


def expanded(text: str) -> list[str]:
    """part-{000..127}.tar -> part-000.tar, ..., part-127.tar. Raises ValueError for too many."""
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
        raise ValueError(f"dataset.root={text} means {'too many' if names else 'no'} shards; the most are {MAX_SHARDS}")
    return names


def tars_of(folder: Path) -> list[Path]:
    """The .tar files of a folder that has no pictures and no folders beside them; else nothing."""
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir() or is_picture(entry.name):
                return []
            if entry.name.lower().endswith(".tar") and entry.is_file():
                found.append(Path(entry.path))
    return sorted(found)


def refuse_unknown(node: Any) -> None:
    """Raises ValueError for a URL in a data set's node out of a file, unless this user has read its shards before."""
    for value in node.values() if isinstance(node, Mapping) else node if isinstance(node, list) else ():
        refuse_unknown(value)
        if is_url(value) and not all(index_file(Remote(url)).exists() for url in expanded(value)):
            raise ValueError(
                f"dataset.root={printable(value)}: nothing is fetched because a file says so; if you trust the place, "
                f"look at it once: ganrun train dataset=folder dataset.root={printable(value)} dry_run=true"
            )


# -- what a shard holds ---------------------------------------------------------------------------------------------


def indexed(place: ShardFile, size: int, stamp: int, root: str) -> tuple[list[Row], list[str]]:
    """The pictures of a shard and what was left out, from the user's cache folder if they are there."""
    index = index_file(place)
    try:
        kept = json.loads(index.read_text(encoding="utf-8"))
        if kept["made"] == [INDEX, size, stamp]:
            return [Row(str(n), int(o), int(s), None if c is None else str(c)) for n, o, s, c in kept["rows"]], [
                str(note) for note in kept["notes"]
            ]
    except (OSError, ValueError, KeyError, TypeError):
        pass
    try:
        with place.open() as file:
            rows, notes = walked(file)
    except DAMAGED as error:
        reason = str(error) or type(error).__name__
        raise ValueError(f"dataset.root={root}: {place} is a damaged .tar: {reason}") from error
    with contextlib.suppress(OSError):  # without a place to keep it, it is walked through again
        make_folder(index.parent)
        write_text(index, json.dumps({"made": [INDEX, size, stamp], "rows": rows, "notes": notes}))
    return rows, notes


def index_file(place: ShardFile) -> Path:
    where = str(place.path.absolute()) if isinstance(place, Local) else str(place)
    return user_cache() / "shards" / f"{hashlib.sha256(os.fsencode(where)).hexdigest()[:32]}.json"


DAMAGED = (tarfile.TarError, ValueError, OverflowError, RecursionError, EOFError, IndexError, MemoryError)


class Headers(io.RawIOBase):
    """A file for `tarfile`, which reads whole whatever a header says of its own length."""

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
    """The pictures of a .tar with their labels, and a line for each member that is left out.

    Raises one of DAMAGED where it ends too early or has no sense.
    """
    pictures: list[Row] = []
    labels: dict[str, str] = {}
    notes: list[str] = []
    for member in members(file):
        name = member.name.removeprefix("./")
        what = name.lower().rpartition(".")[2]
        plain = member.isreg() and not member.issparse()
        if is_picture(name) and not plain:
            notes.append(f"{name!r} is left out: not a regular file")
        elif is_picture(name) and (name.startswith("/") or ".." in name.split("/")):
            notes.append(f"{name!r} is left out: a path out of the .tar")
        elif is_picture(name):
            pictures.append(Row(name, member.offset_data, member.size, None))
        elif what in ("cls", "json") and plain and member.size <= MAX_LABEL and key_of(name) not in labels:
            file.seek(member.offset_data)
            if label := label_of(what, file.read(member.size)):
                labels[key_of(name)] = label
    return [row._replace(label=labels.get(key_of(row.name))) for row in pictures], notes


def members(file: BinaryIO) -> Iterator[tarfile.TarInfo]:
    with tarfile.open(fileobj=Headers(file), mode="r:", errorlevel=2) as tar:  # type: ignore[call-overload]
        last = -1
        for count in itertools.count():
            member = tar.next()
            if member is None:
                break
            if member.offset <= last or member.size < 0:  # CVE-2025-8194: it would turn for ever
                raise tarfile.ReadError(f"{printable(member.name)!r:.80} has no sensible size")
            if count >= MAX_MEMBERS:
                raise tarfile.ReadError(f"more than {MAX_MEMBERS} members: make more shards of it")
            last, tar.members = member.offset, []  # type: ignore[attr-defined]  # or it would keep them all
            yield member
        file.seek(tar.offset)
        if file.read(tarfile.BLOCKSIZE).strip(b"\0"):
            raise tarfile.ReadError("it ends in something that is no header")


def key_of(name: str) -> str:
    """What the files of one sample share: the path up to the first dot of its last part."""
    folder, slash, last = name.rpartition("/")
    return folder + slash + last.partition(".")[0]


def label_of(what: str, data: bytes) -> str | None:
    """The class that a .cls or .json states; None where it states none."""
    try:
        text = data.decode()
        label = json.loads(text) if what == "json" else text.strip()
    except (ValueError, RecursionError):
        return None
    label = label.get("label") if isinstance(label, Mapping) else None if what == "json" else label
    kept = isinstance(label, (int, str)) and not isinstance(label, bool)
    return str(label)[:80] or None if kept else None
