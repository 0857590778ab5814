"""`ganrun plot`: draws the curves of a run over thousands of images, and its samples over time, with matplotlib."""

from __future__ import annotations

import importlib.util
import itertools
import logging
import os
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ganrun.checkpoints.find import find
from ganrun.commands.plot.grid_strips import Strip, strip_of
from ganrun.common.atomic import atomic_write
from ganrun.common.errors import CheckpointError, UserError
from ganrun.common.folder_safety import refuse_unsafe
from ganrun.common.folders import check_writable
from ganrun.common.output_places import check_file_place
from ganrun.common.types import Config
from ganrun.common.untrusted import printable
from ganrun.common.versions import INSTALL
from ganrun.training.metrics_rows import Row, rows_of

Point = tuple[float, float]  # thousands of images, value
Series = dict[str, list[Point]]  # by name
METRICS = "metrics.jsonl"
FORMATS = (".png", ".pdf", ".svg")
COLUMNS = 2  # of panels
# the largest numbers of points in a curve, curves in a panel, panels in a figure, alarms in a figure
MOST, SERIES, PANELS, ALARMS = 2000, 24, 30, 100
LABEL = 60  # letters of a label; the rest is cut off


def check(config: Config) -> Path:
    """Check the run, matplotlib and the output place before drawing. Returns the place. Raises UserError."""
    folder = run_folder(str(config["run"]))
    refuse_unsafe(folder)
    if not importlib.util.find_spec("matplotlib"):
        raise UserError(f"plot needs matplotlib: {INSTALL}")
    if next(rows(folder), None) is None:
        raise UserError(f"run={folder} holds no numbers in metrics.jsonl: it has not logged yet, or is not a run")
    if config["out"] is None:
        check_writable(folder)
        return folder / "curves.png"
    out = Path(str(config["out"])).expanduser()
    check_file_place(out, config["overwrite"], *FORMATS)
    return out


def plot(config: Config) -> str:
    """Draw the figure and write it. Returns a line with its path and with what was left out."""
    import matplotlib

    logging.getLogger("matplotlib").setLevel(logging.WARNING)  # it logs its fonts while it is imported
    folder, out = run_folder(str(config["run"])), check(config)
    strip = strip_of(folder, config["samples"], config["times"])
    page = drawn(rows(folder))
    if not page.panels:
        raise UserError(f"run={folder}: {METRICS} has none of the numbers that a plot shows, such as losses or scores")
    title = os.fsencode(folder.name).decode("utf-8", "replace")  # bytes that are no text cannot be drawn
    # without LaTeX, which would read names as commands; without the warnings of a font that has no Chinese letters
    with matplotlib.rc_context({"text.usetex": False}), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        save(draw(page.panels, alarms(rows(folder)), strip, title), out)
    lacks = [] if strip else ["without samples, because there are no grids that say their columns"]
    notes = "; ".join([*lacks, *page.notes])
    return ": ".join([printable(str(out)), *([notes] if notes else [])])


def run_folder(reference: str) -> Path:
    """The folder of a run. `reference` is its path, a checkpoint in it, or `last`. Raises UserError."""
    path = Path(reference).expanduser()
    if path.is_dir():
        return path
    try:
        found = find(reference)
    except CheckpointError as error:
        raise UserError(f"run={error}") from None
    return found.parent.parent if found.parent.name == "checkpoints" else found.parent


def rows(folder: Path) -> Iterator[Row]:
    """The rows of metrics.jsonl that have a number of images. Damaged lines are left out."""
    return (row for row in rows_of(folder / METRICS) if "images" in row)


def panel_of(name: str) -> str | None:
    """The panel that shows a number. None for numbers that are not shown."""
    owner, _, own = name.partition("/")
    if owner == "score":
        return f"score: {re.split('[@_.]', own)[0]}"  # scores of one kind share an axis
    if owner == "alarm" or own in ("", "lr", "weight_norm") or own.endswith("_logit"):
        return None
    if owner in ("growth", "augmentation"):
        return name
    if owner == "samples":
        return "samples, relative to real pictures" if own.startswith("diversity") else None
    if own == "gradient_norm":
        return "gradient norms"
    return "accuracy" if "accuracy" in own else "losses"


class Points:
    """A series of any length, stored as at most MOST evenly spaced points and the last one."""

    def __init__(self) -> None:
        self.kept: list[Point] = []
        self.every, self.seen, self.last = 1, 0, (0.0, 0.0)

    def add(self, point: Point) -> None:
        if self.seen % self.every == 0:
            self.kept.append(point)
        self.seen, self.last = self.seen + 1, point
        if len(self.kept) > MOST:
            self.kept, self.every = self.kept[::2], 2 * self.every

    def shown(self) -> list[Point]:
        return self.kept if self.kept[-1:] == [self.last] else [*self.kept, self.last]


@dataclass
class Drawn:
    """The content of a figure: {panel: {name: points}} with losses first, and notes about what was left out."""

    panels: dict[str, Series]
    notes: list[str]


def drawn(found: Iterable[Row]) -> Drawn:
    """The content of a figure, from any number of rows."""
    series: dict[str, dict[str, Points]] = {"losses": {}, "gradient norms": {}, "accuracy": {}}
    left_out = False
    for row in found:
        for name, value in row.items():
            if (panel := panel_of(name)) is None:
                continue
            if name not in series.get(panel, ()):
                if len(series.get(panel, ())) >= SERIES or (panel not in series and len(series) >= PANELS):
                    left_out = True
                    continue
                series.setdefault(panel, {})[name] = Points()
            series[panel][name].add((row["images"] / 1000, value))
    every = max((points.every for own in series.values() for points in own.values()), default=1)
    notes = [f"only every {every}th point of long curves is drawn"] if every > 1 else []
    if left_out:
        notes.append(f"there is room for {SERIES} curves in a panel and {PANELS} panels: further ones are left out")
    shown = {panel: {name: points.shown() for name, points in own.items()} for panel, own in series.items() if own}
    return Drawn(shown, notes)


def alarms(found: Iterable[Row]) -> list[tuple[float, str]]:
    """(thousands of images, name) of the first alarms."""
    names = ((row["images"] / 1000, name) for row in found for name in row if name.startswith("alarm/"))
    return [(at, name.removeprefix("alarm/")) for at, name in itertools.islice(names, ALARMS)]


def draw(shown: Mapping[str, Series], marks: Sequence[tuple[float, str]], strip: Strip | None, title: str) -> Any:
    """A figure: panels in two columns, alarms as dotted lines in the first panel, the strip of samples below.

    Names are drawn as they are: text between dollar signs is not read as a formula.
    """
    from matplotlib.figure import Figure

    lines = -(-len(shown) // COLUMNS)
    tall = 0.9 * strip.samples if strip else 0.01
    figure = Figure(figsize=(11, 2.8 * lines + tall), layout="constrained")
    parts: Any = figure.subfigures(2, 1, height_ratios=[2.8 * lines, tall])
    above, below = parts
    for axes, (name, series) in zip(above.subplots(lines, COLUMNS, squeeze=False).flat, shown.items(), strict=False):
        draw_panel(axes, name, series)
    for axes in above.axes[len(shown) :]:
        axes.remove()
    for at, alarm in marks:
        axes = above.axes[0]
        axes.axvline(at, color="grey", linestyle=":")
        place = {"rotation": 90, "fontsize": "x-small", "transform": axes.get_xaxis_transform()}
        axes.text(at, 0.02, alarm[:LABEL], parse_math=False, clip_on=True, **place)
    above.suptitle(printable(title)[:LABEL], fontsize="medium", parse_math=False)
    if strip:
        strip.draw(below.subplots())
    return figure


def draw_panel(axes: Any, name: str, series: Series) -> None:
    for points in series.values():
        axes.plot(*zip(*points, strict=True), marker="." if len(points) < 30 else None, linewidth=1)
    axes.set_title(name[:LABEL], fontsize="medium", parse_math=False)
    axes.set_xlabel("thousands of images")
    axes.set_yscale("log" if name == "gradient norms" else "linear")
    labels = [f" {label}" if label.startswith("_") else label for label in series]  # matplotlib leaves out `_name`
    legend = axes.legend(axes.lines, [label[:LABEL] for label in labels], fontsize="x-small")
    for text in legend.get_texts():
        text.set_parse_math(False)


def save(figure: Any, out: Path) -> None:
    with atomic_write(out) as file:
        figure.savefig(file, format=out.suffix[1:], dpi=120, metadata={} if out.suffix == ".pdf" else None)
