"""Finds the pictures of `input` and `target`, pairs them, and names the outputs. Names are not trusted."""

from __future__ import annotations

import zipfile
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from ganrun.common.errors import UserError
from ganrun.common.untrusted import printable
from ganrun.data.sources import Picture, Source, Tree, is_picture, open_source, without_arrays

FILES = (".png", ".tif", ".tiff")  # the suffixes of an output that is one picture


class Pictures(NamedTuple):
    """The pictures of `input` or `target`."""

    source: Source
    listed: list[Picture]
    single: bool  # the user named one picture, not a folder or .zip


def find_pictures(place: object, key: str) -> Pictures:
    """The pictures of a file, folder or .zip. Raises UserError that names the key."""
    path = Path(str(place)).expanduser()
    try:
        if path.is_file() and path.suffix.lower() != ".zip" and (is_picture(path.name) or not zipfile.is_zipfile(path)):
            found = path.stat()
            return Pictures(Tree(path.parent), [Picture(path.name, found.st_size, found.st_mtime_ns)], True)
        source = open_source(path)
        listed = without_arrays(source.pictures())
    except (ValueError, OSError) as error:
        said = str(error).replace("dataset.root", key, 1)
        raise UserError(said if said.startswith(f"{key}=") else f"{key}={place}: {said}") from None
    if not listed:
        raise UserError(f"{key}={place} holds no pictures")
    return Pictures(source, listed, False)


def stem(name: str) -> str:
    """The path without the suffix. An input and its target have the same stem."""
    folder, slash, last = name.rpartition("/")
    return folder + slash + (last.rpartition(".")[0] or last)


def partners(given: Pictures, found: Pictures) -> dict[str, Picture]:
    """{name of an input: its target}. Raises UserError if no input has a target of the same name."""
    if given.single and found.single:
        return {given.listed[0].name: found.listed[0]}
    by_stem = {stem(picture.name): picture for picture in found.listed}
    matched = {x.name: by_stem[stem(x.name)] for x in given.listed if stem(x.name) in by_stem}
    if not matched:
        mine, theirs = (printable(pictures.listed[0].name) for pictures in (given, found))
        raise UserError(f"no picture of target= has the name of one of input=; for example {theirs!r} and {mine!r}")
    return matched


def output_names(names: list[str], suffix: Callable[[str], str] = lambda name: ".png") -> dict[str, str]:
    """{input: output}: a/b.jpg -> a/b.png. Outputs that would have one name keep their suffixes: b.jpg.png, b.bmp.png.

    suffix: the suffix of the output of an input. No two outputs have one name, also where upper and lower case are the
    same.
    """
    made = {name: stem(name) + suffix(name) for name in names}
    while clashing := [name for name in twins(made) if made[name] != name + suffix(name)]:
        made |= {name: name + suffix(name) for name in clashing}
    taken, seen = {output.casefold() for output in made.values()}, set()
    for name, output in made.items():
        number = 1
        while output.casefold() in seen or (number > 1 and output.casefold() in taken):  # A.jpg and a.jpg
            number += 1
            output = f"{name}.{number}{suffix(name)}"
        made[name] = output
        seen.add(output.casefold())
    return made


def twins(made: Mapping[str, str]) -> list[str]:
    """The inputs whose output another input has, too."""
    counted = Counter(output.casefold() for output in made.values())
    return [name for name, output in made.items() if counted[output.casefold()] > 1]


def inside(folder: Path, name: str) -> Path:
    """The path of `name` in `folder`. Raises ValueError for a name, as in a hostile .zip, that leaves the folder."""
    path = folder / name
    if ".." in name.replace("\\", "/").split("/") or not path.resolve().is_relative_to(folder.resolve()):
        raise ValueError("its name leads out of the folder")
    return path


def is_file(out: Path) -> bool:
    return out.suffix.lower() in FILES and not out.is_dir()


def keep_apart(out: Path, key: str, place: Path) -> None:
    """Raises UserError if `out` lies in the folder of the inputs or targets: outputs would mix with them."""
    if out.resolve().is_relative_to(place.resolve()):
        raise UserError(
            f"out={out} is inside {key}={place}: the outputs would mix with the pictures there; choose another folder"
        )
