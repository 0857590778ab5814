"""album: the user's pictures, which belong together, and what will be called how. Trusts no name that is read."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import NamedTuple

from ganrun.common.errors import UserError
from ganrun.common.untrusted import printable
from ganrun.data.sources import Picture, Source, Tree, is_picture, open_source


class Pictures(NamedTuple):
    """What `input` or `target` holds."""

    source: Source
    listed: list[Picture]
    single: bool  # one file was named, not a place of files


def find_pictures(place: object, key: str) -> Pictures:
    """The pictures of a file, folder or .zip. Raises UserError that names the key."""
    path = Path(str(place)).expanduser()
    try:
        if path.is_file() and path.suffix.lower() != ".zip" and (is_picture(path.name) or not zipfile.is_zipfile(path)):
            found = path.stat()
            return Pictures(Tree(path.parent), [Picture(path.name, found.st_size, found.st_mtime_ns)], True)
        source = open_source(path)
        listed = source.pictures()
    except (ValueError, OSError) as error:
        said = str(error).replace("dataset.root", key, 1)
        raise UserError(said if said.startswith(f"{key}=") else f"{key}={place}: {said}") from None
    if not listed:
        raise UserError(f"{key}={place} holds no pictures")
    return Pictures(source, listed, False)


def stem(name: str) -> str:
    """The path without the suffix: what inputs and targets share."""
    folder, slash, last = name.rpartition("/")
    return folder + slash + (last.rpartition(".")[0] or last)


def partners(given: Pictures, found: Pictures) -> dict[str, Picture]:
    """{name of an input: its target}. Raises UserError when no two names match."""
    if given.single and found.single:
        return {given.listed[0].name: found.listed[0]}
    by_stem = {stem(picture.name): picture for picture in found.listed}
    matched = {x.name: by_stem[stem(x.name)] for x in given.listed if stem(x.name) in by_stem}
    if not matched:
        mine, theirs = (printable(pictures.listed[0].name) for pictures in (given, found))
        raise UserError(f"target= and input= share no name: {theirs!r} and {mine!r}, for example")
    return matched


def output_names(names: list[str]) -> dict[str, str]:
    """a/b.jpg -> a/b.png; where two would become one they keep their suffixes: b.jpg.png, b.bmp.png."""
    stems = [stem(name) for name in names]
    twins = {name for name in stems if stems.count(name) > 1} if len(set(stems)) < len(stems) else set()
    return {name: f"{name if short in twins else short}.png" for name, short in zip(names, stems, strict=True)}


def inside(folder: Path, name: str) -> Path:
    """Where `name` lies in `folder`. Raises ValueError for a name, out of a .zip, that leads elsewhere."""
    path = folder / name
    if ".." in name.replace("\\", "/").split("/") or not path.resolve().is_relative_to(folder.resolve()):
        raise ValueError("its name leads out of the folder")
    return path


def is_file(out: Path) -> bool:
    return out.suffix.lower() == ".png" and not out.is_dir()


def keep_apart(out: Path, key: str, place: Path) -> None:
    """Raises UserError where pictures would be written over, or among, those that are read."""
    if out.resolve().is_relative_to(place.resolve()):
        raise UserError(f"out={out} lies in {key}={place}: what is made would mix with what is read")
