"""Reads a list of pictures from a file: a .txt with a name in each line, or a .csv with one in each first cell."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence

from ganrun.data.labels import match, text
from ganrun.data.sources import Picture, Source


def named_rows(file: str, key: str, source: Source, pictures: Sequence[Picture]) -> list[int]:
    """Sorted indices of the pictures that the file names, by their path below the root or by their file name.

    Empty lines are skipped, and the first line too where it names no picture: a header. Raises ValueError or
    FileNotFoundError, in one line that names the key, for any other name that no picture has.
    """
    try:
        names = list(rows(text(file, source), file))
        found = match(names, [picture.name for picture in pictures])
    except FileNotFoundError:
        raise FileNotFoundError(
            f"dataset.{key}={file}: there is no such file, neither as given nor in {source.root}"
        ) from None
    except (ValueError, csv.Error) as error:
        raise ValueError(f"dataset.{key}={file}: {error}") from error
    strays = [name for i, (name, picture) in enumerate(zip(names, found, strict=True)) if picture is None and i]
    if not any(picture is not None for picture in found):
        what = f"no line names a picture of {source.root}" if names else "it is empty"
        raise ValueError(f"dataset.{key}={file}: {what}{f', such as {names[-1][:80]!r}' if names else ''}")
    if strays:
        raise ValueError(
            f"dataset.{key}={file}: {len(strays)} of {len(names)} names are of no picture in {source.root}, "
            f"such as {strays[0][:80]!r}"
        )
    return sorted({picture for picture in found if picture is not None})


def rows(content: str, file: str) -> Iterator[str]:
    """The names, without the lines that are empty."""
    if file.lower().endswith(".csv"):
        lines = (cells[0].strip() for cells in csv.reader(io.StringIO(content, newline=""), strict=True) if cells)
    else:
        lines = (line.strip() for line in content.splitlines())
    yield from filter(None, lines)
