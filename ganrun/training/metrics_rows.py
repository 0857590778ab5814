"""The rows of a run's metrics.jsonl, which may be another person's file: finite numbers, short names. No torch."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from pathlib import Path

from ganrun.common.errors import UserError
from ganrun.common.regular_files import open_regular
from ganrun.common.untrusted import is_count, is_number, printable

Row = dict[str, float]

MAX_FILE = 2**30  # bytes: a million rows of a long run
MAX_LINE = 2**20  # bytes of a row: shares of thousands of classes
NAME = 200  # letters of a number's name
COUNTS = ("step", "images")


def lines_of(path: Path) -> Iterator[bytes]:
    """The lines of a regular file; none where there is no file. Lines longer than a row can be are left out.

    Raises UserError where the path is not a regular file or the file is too large, OSError where it cannot be read.
    """
    try:
        file = open_regular(path)
    except FileNotFoundError:
        return
    except ValueError as error:
        raise UserError(str(error)) from None
    with file:
        if os.fstat(file.fileno()).st_size > MAX_FILE:
            raise UserError(f"{path} is larger than the {MAX_FILE // 2**20} MiB that it may have")
        whole = True  # whether the last piece ended a line
        while piece := file.readline(MAX_LINE):
            ends = piece.endswith(b"\n")
            if whole and (ends or len(piece) < MAX_LINE):
                yield piece
            whole = ends


def rows_of(path: Path, step: float = math.inf) -> Iterator[Row]:
    """The rows of a run up to a step; lines that are not rows are left out. Raises what `lines_of` raises."""
    for line in lines_of(path):
        row = row_of(line)
        if row is not None and row["step"] <= step:
            yield row


def row_of(line: bytes) -> Row | None:
    """A line's finite numbers by name, "step" and "images" whole numbers; None where the line is not a row.

    A killed run leaves half a line, and a stranger may have written any line.
    """
    try:
        found = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):  # a number of 5,000 digits, 100,000 brackets
        return None
    if not isinstance(found, dict) or "step" not in found or not all(is_count(found.get(name, 0)) for name in COUNTS):
        return None
    return {short(name): value for name, value in found.items() if is_number(value) or name in COUNTS}


def short(name: str) -> str:
    """A name that is safe to print."""
    return name if len(name) <= NAME and name.isascii() and name.isprintable() else printable(name)[:NAME]
