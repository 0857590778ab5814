"""95 % confidence intervals for the mean of a few numbers, by Student's t."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, stdev
from typing import NamedTuple

# the 97.5 % points of Student's t for 1 to 30 degrees of freedom
T = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
    2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
    2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip
Z = 1.959964  # the 97.5 % point of the normal distribution: the limit of t for many degrees of freedom


class Interval(NamedTuple):
    """mean ± half. `half` is None for a single number, because its spread is not known."""

    mean: float
    half: float | None


def t_point(freedom: int) -> float:
    """The 97.5 % point of Student's t for ν = `freedom` degrees of freedom.

    Up to 30 degrees of freedom it is looked up in the table. Above 30 it is z + (z³ + z) / 4ν, the first terms of
    equation 26.7.5 of Abramowitz and Stegun, 1964; the error is then below 0.005.
    Raises ValueError when `freedom` is below 1.
    """
    if freedom < 1:
        raise ValueError(f"freedom={freedom}: Student's t needs at least 1 degree of freedom, so at least two numbers")
    return T[freedom - 1] if freedom <= len(T) else Z + (Z**3 + Z) / (4 * freedom)


def interval(values: Sequence[float]) -> Interval:
    """The mean of independent values, and the half width of its 95 % confidence interval, t s / √n.

    Raises ValueError when there are no values.
    """
    if not values:
        raise ValueError("no values: a mean needs at least one")
    if len(values) == 1:
        return Interval(values[0], None)
    return Interval(fmean(values), t_point(len(values) - 1) * stdev(values) / math.sqrt(len(values)))


def gain(values: Sequence[float], over: Sequence[float]) -> Interval:
    """The interval of the paired differences `values[i] - over[i]`. Raises ValueError when the lengths differ."""
    return interval([value - other for value, other in zip(values, over, strict=True)])
