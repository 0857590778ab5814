"""How close an output is to its target, and the table of all."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from ganrun.common.images import enlarged_to
from ganrun.common.types import Config
from ganrun.evaluation.fidelity import NAMES, UNITS, Fidelity, gain_of, mean_of
from ganrun.evaluation.results import said

RESULTS = "results.csv"

Row = dict[str, Any]  # "file", each score and input_<score>; None where a picture is too small for one


def measure(name: str, before: Tensor, after: Tensor, target: Tensor, judge: Fidelity) -> Row:
    """The row of one picture, three times (1, C, H, W). Raises ValueError for a target of another size."""
    if after.shape != target.shape:
        sizes = [f"{image.shape[3]}x{image.shape[2]}" for image in (after, target)]
        raise ValueError(f"{sizes[0]} pixels, but its target has {sizes[1]}")
    if judge.channels == 3 and after.shape[1] == 1:  # so that all Y of a table are alike
        before, after, target = (image.expand(-1, 3, -1, -1) for image in (before, after, target))
    scale = after.shape[2] // before.shape[2]
    own, as_given = (fidelity(image, target, judge, scale) for image in (after, enlarged_to(before, target)))
    return {"file": name, **own, **{f"input_{key}": value for key, value in as_given.items()}}


def judge_of(config: Config, channels: int, device: torch.device) -> Fidelity:
    """What compares outputs with targets, as border= and lpips.weights= say. Raises UserError."""
    return Fidelity(None, channels, config["border"], config["lpips"]["weights"], device)


def fidelity(picture: Tensor, target: Tensor, judge: Fidelity, scale: int) -> dict[str, float | None]:
    """Every score of two pictures, (1, C, H, W); None where they are too small for it. Raises ValueError."""
    found = judge(picture, target, scale)
    return {score: found[score].item() if score in found else None for score in judge.names}


def table(results: list[Row]) -> str:
    """results.csv: a line for each picture."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(results[0])
    for result in results:
        rows.writerow(
            "" if cell is None else cell if isinstance(cell, str) else f"{cell:.6g}" for cell in result.values()
        )
    return text.getvalue()


def numbers(results: list[Row], *keys: str) -> list[list[float]]:
    """For each of the keys, the values of the pictures that have all of them."""
    kept = [[float(row[key]) for key in keys] for row in results if all(row.get(key) is not None for key in keys)]
    return [list(column) for column in zip(*kept, strict=True)]


def means(results: list[Row]) -> Iterator[str]:
    """Two lines: the means with their 95 % intervals beside those of the inputs, and the gains, picture by picture."""
    scores = [name for name in NAMES if numbers(results, name, f"input_{name}")]
    pairs = {name: numbers(results, name, f"input_{name}") for name in scores}
    own = ", ".join(f"{shown(name)} {said(mean_of(one))}{UNITS.get(name, '')}" for name, (one, _) in pairs.items())
    inputs = ", ".join(f"{mean_of(other).mean:.4g}{UNITS.get(name, '')}" for name, (_, other) in pairs.items())
    yield f"{own} over {len(results)} (of the inputs: {inputs})"
    gains = (f"{shown(name)} {said(gain_of(*both), '+')}{UNITS.get(name, '')}" for name, both in pairs.items())
    yield f"gain: {', '.join(gains)}"


def shown(name: str) -> str:
    """psnr_y -> PSNR-Y."""
    return name.upper().replace("_", "-")
