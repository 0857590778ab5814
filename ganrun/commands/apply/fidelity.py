"""How close an output is to its target, and the table of all."""

from __future__ import annotations

import csv
import io
import math
from typing import Any

from torch import Tensor

from ganrun.commands.apply.files import for_network
from ganrun.common.images import enlarged_to
from ganrun.evaluation.metrics.fidelity import psnr, ssim

RESULTS = "results.csv"
COLUMNS = ("psnr", "ssim", "input_psnr", "input_ssim")

Row = dict[str, Any]  # "file", and each of COLUMNS


def measure(name: str, before: Tensor, after: Tensor, target: Tensor) -> Row:
    """The row of one picture, three times (1, C, H, W). Raises ValueError for a target of another size."""
    if after.shape != target.shape:
        sizes = [f"{image.shape[3]}x{image.shape[2]}" for image in (after, target)]
        raise ValueError(f"{sizes[0]} pixels, but its target has {sizes[1]}")
    as_given = fidelity(enlarged_to(before, target), target)
    return {"file": name, **fidelity(after, target), **{f"input_{key}": value for key, value in as_given.items()}}


def fidelity(picture: Tensor, target: Tensor) -> dict[str, float | None]:
    """PSNR in dB and SSIM of two pictures, (1, C, H, W). SSIM is None if they are smaller than its window."""
    x, y = for_network(picture), for_network(target)
    try:
        similarity: float | None = ssim(x, y).item()
    except ValueError:
        similarity = None
    return {"psnr": psnr(x, y).item(), "ssim": similarity}


def table(results: list[Row]) -> str:
    """results.csv: a line for each picture."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["file", *COLUMNS])
    for result in results:
        numbers = ("" if result[key] is None else f"{result[key]:.6g}" for key in COLUMNS)
        rows.writerow([result["file"], *numbers])
    return text.getvalue()


def mean(results: list[Row], key: str) -> float:
    """The mean over the pictures that have a finite value; NaN if none has. The PSNR of equal pictures is infinite."""
    values = [result[key] for result in results if result[key] is not None and math.isfinite(result[key])]
    return sum(values) / len(values) if values else float("nan")
