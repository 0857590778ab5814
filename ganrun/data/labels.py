"""Reads the classes of pictures from a file: a .csv of names and classes, or a dataset.json as of StyleGAN."""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from ganrun.data.sources import MAX_BYTES, Picture, Source

Row = tuple[str, str]  # a picture's name and its class


def named_classes(file: str, source: Source, pictures: Sequence[Picture]) -> tuple[dict[int, str], list[str]]:
    """{index of a picture: its class}, sorted by index, and notes about pictures and rows that are left out.

    file: a path, or a path inside the root of the source. A row names a picture by its path below the root, or by its
    file name if only one picture has this name. The first row is a header when it names no picture.
    Raises ValueError or FileNotFoundError, with a message of one line that names dataset.labels.
    """
    try:
        rows = list(json_rows(text(file, source)) if file.lower().endswith(".json") else csv_rows(text(file, source)))
        named = match([name for name, _ in rows], [picture.name for picture in pictures])
        classes = classes_by_picture(rows, named)
    except (ValueError, csv.Error, zipfile.BadZipFile, RecursionError) as error:
        raise ValueError(f"dataset.labels={file}: {error}") from error
    missing = [picture.name for i, picture in enumerate(pictures) if i not in classes]
    strays = [name for i, ((name, _), picture) in enumerate(zip(rows, named, strict=True)) if i and picture is None]
    if not classes:
        names = f"the rows name {(strays or [name for name, _ in rows] or ['nothing'])[0]!r}, the images {missing[0]!r}"
        raise ValueError(f"dataset.labels={file}: no row names an image of {source.root}: {names}")
    notes = []
    if missing:
        notes.append(f"{len(missing)} of {len(pictures)} images have no row in {file} and are left out: {missing[0]!r}")
    if strays:
        notes.append(f"{len(strays)} of {len(rows)} rows of {file} name no image of the data: {strays[0]!r}")
    return dict(sorted(classes.items())), notes


def text(file: str, source: Source) -> str:
    """The text of the file. Raises FileNotFoundError when neither the path nor the root has it."""
    inside = zipfile.Path(source.root) if zipfile.is_zipfile(source.root) else source.root
    for path in (Path(file).expanduser(), inside / file):
        if path.is_file():
            with path.open("rb") as opened:
                data = opened.read(MAX_BYTES + 1)
            if len(data) > MAX_BYTES:
                raise ValueError(f"more than {MAX_BYTES // 2**20} MiB")
            return data.decode("utf-8-sig")
    raise FileNotFoundError(f"dataset.labels={file}: there is no such file, neither as given nor in {source.root}")


def csv_rows(text: str) -> Iterator[Row]:
    """The first two cells of each row; empty rows are skipped. Raises ValueError for a row with only one cell."""
    for number, cells in enumerate(csv.reader(io.StringIO(text, newline=""), skipinitialspace=True, strict=True), 1):
        row = [cell.strip() for cell in cells]
        if not any(row):
            continue
        if len(row) < 2 or not (row[0] and row[1]):
            raise ValueError(f"row {number} needs an image's name, a comma and its class, not {','.join(cells)[:80]!r}")
        yield row[0], row[1]


def json_rows(text: str) -> Iterator[Row]:
    """The rows of {"labels": [["00000/img.png", 3], ...]}, the format of StyleGAN's data sets.

    Raises ValueError for any other content.
    """
    content = json.loads(text)
    rows = content.get("labels") if isinstance(content, dict) else None
    for row in rows if isinstance(rows, list) else [rows]:
        match row:
            case [str(name), int() | str() as kind]:
                yield name, str(kind)
            case _:
                raise ValueError(f'it needs {{"labels": [[name, class], ...]}}, with one class each, not {row!s:.80}')


def match(names: Sequence[str], pictures: Sequence[str]) -> list[int | None]:
    """The index of the picture that each name refers to, by path or else by file name; None when there is none.

    Raises ValueError when several pictures have this file name.
    """
    paths = {picture: i for i, picture in enumerate(pictures)}
    bases: dict[str, list[int]] = {}
    for i, picture in enumerate(pictures):
        bases.setdefault(picture.rpartition("/")[2], []).append(i)
    found: list[int | None] = []
    for name in (name.replace("\\", "/").removeprefix("./") for name in names):
        fitting = [paths[name]] if name in paths else bases.get(name, [])
        if len(fitting) > 1:
            both = " and ".join(repr(pictures[i]) for i in fitting[:2])
            raise ValueError(f"{name!r} may be {both}: give its path below the root")
        found.append(fitting[0] if fitting else None)
    return found


def classes_by_picture(rows: Sequence[Row], named: Sequence[int | None]) -> dict[int, str]:
    """{index of a picture: its class}. Raises ValueError when two rows give a picture different classes."""
    classes: dict[int, str] = {}
    for (name, kind), picture in zip(rows, named, strict=True):
        if picture is not None and classes.setdefault(picture, kind) != kind:
            raise ValueError(f"{name!r} has two classes, {classes[picture]!r} and {kind!r}")
    return classes


def in_order(classes: Collection[str]) -> list[str]:
    """The different classes, sorted: by value if all of them are whole numbers, otherwise as text."""
    numbers = all(re.fullmatch(r"-?[0-9]{1,18}", kind) for kind in classes)
    return sorted(set(classes), key=(lambda kind: (int(kind), kind)) if numbers else None)


def folder_names(names: list[str]) -> list[str]:
    """Names of folders for the classes, in the order of their labels.

    Sorted by name they must have the same order, because torchvision's ImageFolder numbers the classes in this way. So
    they begin with the label where necessary. Characters that a folder name cannot have are replaced.
    """
    safe = ["".join(c if c.isalnum() or c in " -_." else "_" for c in name).strip(". ") or "_" for name in names]
    if safe == sorted(safe) and len(set(safe)) == len(safe):
        return safe
    width = len(str(len(safe) - 1))
    return [f"{label:0{width}d}_{name}" for label, name in enumerate(safe)]
