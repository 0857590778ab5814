"""Draws means and their intervals with matplotlib, which is an extra."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from ganrun.common.atomic import atomic_write
from ganrun.evaluation.metrics.intervals import interval


def plot_arms(values: Mapping[str, Sequence[float]], out: Path, title: str, axis: str) -> None:
    """Write a PNG with a row for each arm, the first on top: its values as dots, the mean and its 95 % interval.

    `values` maps the name of an arm to its values, `axis` is the label of the x axis. A vertical line marks the mean of
    the first arm. Raises ImportError without matplotlib.
    """
    from matplotlib.figure import Figure

    logging.getLogger("matplotlib").setLevel(logging.WARNING)  # it logs its fonts while it is imported
    figure = Figure(figsize=(7, 1.2 + 0.4 * len(values)), layout="constrained")
    axes = figure.subplots()
    for row, own in enumerate(values.values()):
        mean, half = interval(own)
        axes.plot(own, [row] * len(own), "o", color="tab:blue", alpha=0.3, markersize=4)
        axes.errorbar(mean, row, xerr=half, fmt="o", color="black", capsize=4)
        if row == 0:
            axes.axvline(mean, color="grey", linestyle=":", zorder=0)
    axes.set_yticks(range(len(values)), list(values))
    axes.invert_yaxis()
    axes.set_xlabel(axis)
    axes.set_title(title, fontsize="medium")
    with atomic_write(out) as file:
        figure.savefig(file, format="png", dpi=150, bbox_inches="tight", metadata={"Software": None})
