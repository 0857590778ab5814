"""curves: a run's numbers against thousands of images, and its samples over time, on one picture by matplotlib."""

from __future__ import annotations

import importlib.util
import json
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ganrun.errors import UserError
from ganrun.finding import CheckpointError, find, step_of
from ganrun.folders import check_writable
from ganrun.plots import INSTALL
from ganrun.strange import refuse_strange
from ganrun.untrusted import printable
from ganrun.writing import whole

Config = dict[str, Any]
Series = dict[str, list[tuple[float, float]]]  # name -> (thousands of images, value)
FORMATS = (".png", ".pdf", ".svg")
COLUMNS = 2  # of panels
MARGIN = 2  # pixels between the cells of a grid


def check(config: Config) -> Path:
    """Before drawing: the run has logged, the place is free. Returns it, or raises UserError."""
    folder = run_folder(str(config["run"]))
    refuse_strange(folder)
    if not importlib.util.find_spec("matplotlib"):
        raise UserError(f"plot needs matplotlib: {INSTALL}")
    if not any(rows(folder)):
        raise UserError(f"run={folder} holds no numbers in metrics.jsonl: it has not logged yet, or is not a run")
    if config["out"] is None:
        check_writable(folder)
        return folder / "curves.png"
    out = Path(str(config["out"])).expanduser()
    if out.suffix not in FORMATS or not out.parent.is_dir():
        raise UserError(f"out={out} must be x{', x'.join(FORMATS)} in a folder that exists")
    if out.exists() and not config["overwrite"]:
        raise UserError(f"out={out} exists: choose another name, or overwrite=true")
    check_writable(out.parent)
    return out


def plot(config: Config) -> str:
    """Draw and write. Returns where."""
    folder, out = run_folder(str(config["run"])), check(config)
    strip = strip_of(folder, config["samples"], config["times"])
    draw(rows(folder), strip, out, os.fsencode(folder.name).decode("utf-8", "replace"))  # fonts know only text
    return printable(str(out)) + ("" if strip else ": without samples, as its grids (if any) do not tell their columns")


def run_folder(reference: str) -> Path:
    """A run's folder, by its name, by a checkpoint in it or as `last`. Raises UserError."""
    path = Path(reference).expanduser()
    if path.is_dir():
        return path
    try:
        found = find(reference)
    except CheckpointError as error:
        raise UserError(f"run={error}") from None
    return found.parent.parent if found.parent.name == "checkpoints" else found.parent


def rows(folder: Path) -> list[dict[str, float]]:
    """What metrics.jsonl holds, but for a line that a kill tore."""
    path, found = folder / "metrics.jsonl", []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return [row for row in found if isinstance(row, dict) and "images" in row]


def panel_of(name: str) -> str | None:
    """Which panel shows a number; None for those that none shows."""
    owner, _, own = name.partition("/")
    if owner == "score":
        return f"score: {own.split('@')[0].split('_')[0]}"  # numbers of one kind share an axis
    if owner == "alarm" or own in ("", "lr", "weight_norm") or own.endswith("_logit"):
        return None
    if owner == "samples":
        return "samples, of what reals have" if own.startswith("diversity") else None
    if own == "gradient_norm":
        return "gradient norms"
    return "accuracy" if "accuracy" in own else "losses"


def panels(found: Sequence[dict[str, float]]) -> dict[str, Series]:
    """{panel: {name: points}}: losses first, scores last."""
    shown: dict[str, Series] = {"losses": {}, "gradient norms": {}, "accuracy": {}}
    for row in found:
        for name, value in row.items():
            if (panel := panel_of(name)) is not None:
                series = shown.setdefault(panel, {}).setdefault(name, [])
                series.append((row["images"] / 1000, value))
    return {panel: series for panel, series in shown.items() if series}


def draw(found: Sequence[dict[str, float]], strip: Strip | None, out: Path, title: str) -> None:
    """Panels two by two, alarms as dotted lines in the first, the strip of samples below."""
    logging.getLogger("matplotlib").setLevel(logging.WARNING)  # it tells of fonts, from its import on
    from matplotlib.figure import Figure

    shown = panels(found)
    lines = -(-len(shown) // COLUMNS)
    tall = 0.9 * strip.samples if strip else 0.01
    figure = Figure(figsize=(11, 2.8 * lines + tall), layout="constrained")
    parts: Any = figure.subfigures(2, 1, height_ratios=[2.8 * lines, tall])
    above, below = parts
    for axes, (name, series) in zip(above.subplots(lines, COLUMNS, squeeze=False).flat, shown.items(), strict=False):
        for label, points in series.items():
            axes.plot(*zip(*points, strict=True), label=label, marker="." if len(points) < 30 else None, linewidth=1)
        axes.set_title(name, fontsize="medium")
        axes.set_xlabel("thousands of images")
        axes.set_yscale("log" if name == "gradient norms" else "linear")
        axes.legend(fontsize="x-small")
    for axes in above.axes[len(shown) :]:
        axes.remove()
    for row in found:
        for alarm in [name.removeprefix("alarm/") for name in row if name.startswith("alarm/")]:
            axes = above.axes[0]
            axes.axvline(row["images"] / 1000, color="grey", linestyle=":")
            place = (row["images"] / 1000, 0.02)
            axes.text(*place, alarm, rotation=90, fontsize="x-small", transform=axes.get_xaxis_transform())
    above.suptitle(title, fontsize="medium")
    if strip:
        strip.draw(below.subplots())
    with whole(out) as file:
        figure.savefig(file, format=out.suffix[1:], dpi=120, metadata={} if out.suffix == ".pdf" else None)


class Strip:
    """The same few cells of grids over time: a column a step."""

    def __init__(self, grids: Sequence[Path], samples: int) -> None:
        cut = [cells(path) for path in grids]
        self.steps = [step_of(path) for path in grids]
        self.samples = min(samples, len(cut[0]))
        picked = [number * len(cut[0]) // self.samples for number in range(self.samples)]  # of several classes
        self.cell = cut[0][0].shape[:2]
        self.image = np.vstack([np.hstack([each[number] for each in cut]) for number in picked])

    def draw(self, axes: Any) -> None:
        axes.imshow(self.image, cmap="gray", interpolation="nearest")
        axes.set_xticks([(number + 0.5) * self.cell[1] for number in range(len(self.steps))])
        axes.set_xticklabels([f"step {step:,}" for step in self.steps], fontsize="x-small")
        axes.set_yticks([])


def strip_of(folder: Path, samples: int, times: int) -> Strip | None:
    """Of at most `times` grids, spread evenly over the run, the first and the last among them."""
    grids = sorted((folder / "grids").glob("step_*.png"), key=step_of)
    grids = [path for path in grids if geometry(path)]
    if not grids:
        return None
    count = min(times, len(grids))
    picked = [grids[round(number * (len(grids) - 1) / max(count - 1, 1))] for number in range(count)]
    return Strip(list(dict.fromkeys(picked)), samples)


def geometry(path: Path) -> tuple[int, int] | None:
    """(columns, rows) of a grid, as its header tells; None for one of an older ganrun, or no picture."""
    try:
        with Image.open(path) as opened:
            return int(opened.info["columns"]), int(opened.info["rows"])
    except (OSError, KeyError, ValueError):
        return None


def cells(path: Path) -> list[np.ndarray]:
    """A grid's cells, row by row, (h, w, 3) uint8 each; those that are left black at the end are cells too."""
    columns, lines = geometry(path) or (1, 1)
    with Image.open(path) as opened:
        grid = np.asarray(opened.convert("RGB"))
    high, wide = (grid.shape[0] - MARGIN) // lines, (grid.shape[1] - MARGIN) // columns
    return [
        grid[row * high + MARGIN : (row + 1) * high, column * wide + MARGIN : (column + 1) * wide]
        for row in range(lines)
        for column in range(columns)
    ]
