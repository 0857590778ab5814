"""Cuts the same few samples out of a run's grids, and puts them side by side over time. Needs no torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from ganrun.checkpoints.find import step_of
from ganrun.common.limits import COUNT
from ganrun.common.pictures import open_picture

MARGIN = 2  # pixels between the cells of a grid
MOST = 64  # samples, and steps, for which a figure has room
PIXELS = 16 * 10**6  # of a whole strip; larger cells are scaled down
LARGEST_CELL = 512  # pixels of its longer side


class Geometry(NamedTuple):
    """The columns and rows of a grid, and the (width, height) of its picture in pixels."""

    columns: int
    rows: int
    size: tuple[int, int]

    def cell(self) -> tuple[int, int]:
        """(height, width) of a cell, with the margin before it, in pixels."""
        return (self.size[1] - MARGIN) // self.rows, (self.size[0] - MARGIN) // self.columns

    def box(self, number: int) -> tuple[int, int, int, int]:
        """(left, top, right, bottom) of a cell in pixels. Cells are numbered row by row."""
        (high, wide), (row, column) = self.cell(), divmod(number, self.columns)
        return column * wide + MARGIN, row * high + MARGIN, (column + 1) * wide, (row + 1) * high


class Strip:
    """The same few cells of several grids: a column for each step, a row for each cell."""

    def __init__(self, grids: Sequence[Path], geometry: Geometry, samples: int) -> None:
        count = geometry.columns * geometry.rows
        self.steps = [step_of(path) for path in grids]
        self.samples = min(samples, count, MOST)
        # evenly spaced, so that they show several classes
        picked = [number * count // self.samples for number in range(self.samples)]
        side = min(LARGEST_CELL, int((PIXELS / (self.samples * len(grids))) ** 0.5))
        columns = [np.vstack(list(cells(path, geometry, picked, side))) for path in grids]
        self.image = np.hstack(columns)
        self.cell = self.image.shape[0] // self.samples, self.image.shape[1] // len(grids)

    def draw(self, axes: Any) -> None:
        axes.imshow(self.image, cmap="gray", interpolation="nearest")
        axes.set_xticks([(number + 0.5) * self.cell[1] for number in range(len(self.steps))])
        axes.set_xticklabels([f"step {step:,}" for step in self.steps], fontsize="x-small")
        axes.set_yticks([])


def strip_of(folder: Path, samples: int, times: int) -> Strip | None:
    """A strip of at most `times` grids of the run in `folder`. None if there is no grid.

    The grids are spread evenly over the run, with the first and the last one. A file that is no grid, or whose geometry
    is not that of the last grid, is left out.
    """
    grids = sorted((path for path in (folder / "grids").glob("step_*.png") if step_of(path) >= 0), key=step_of)
    count = min(times, len(grids), MOST)
    spread = [grids[round(number * (len(grids) - 1) / max(count - 1, 1))] for number in range(count)]
    found = {path: shape for path in dict.fromkeys(spread) if (shape := geometry(path))}
    if not found:
        return None
    last = list(found.values())[-1]
    try:
        return Strip([path for path, shape in found.items() if shape == last], last, samples)
    except (OSError, ValueError, SyntaxError):  # a file with a valid header but a damaged picture
        return None


def geometry(path: Path) -> Geometry | None:
    """The geometry in the header of a grid. None if it is missing or impossible, and for a file that is no picture."""
    try:
        with open_picture(path) as opened:
            counts = [opened.info["columns"], opened.info["rows"]]
            if not all(isinstance(text, str) and text.isdecimal() and len(text) < 7 for text in counts):
                return None
            found = Geometry(int(counts[0]), int(counts[1]), opened.size)
    except (OSError, KeyError, ValueError, SyntaxError):
        return None
    possible = 0 < found.columns * found.rows <= 2 * COUNT and min(found.cell()) > MARGIN
    return found if possible else None


def cells(path: Path, geometry: Geometry, picked: Sequence[int], side: int = LARGEST_CELL) -> Iterator[np.ndarray]:
    """The cells of these numbers, (h, w, 3) uint8 each. A cell whose longer side exceeds `side` is scaled down."""
    with open_picture(path) as opened:
        for number in picked:
            cell = opened.crop(geometry.box(number))
            cell = cell if cell.mode in ("L", "RGB") else cell.convert("RGB")
            cell.thumbnail((side, side), Image.Resampling.BOX)
            yield np.asarray(cell.convert("RGB"))
