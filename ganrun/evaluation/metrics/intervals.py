"""How far the mean of a few numbers may be off: Student's t."""

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
Z = 1.959964  # the normal distribution's, which t comes down to


class Interval(NamedTuple):
    """mean ± half; half is None where one number alone tells nothing of the spread."""

    mean: float
    half: float | None


def t_point(freedom: int) -> float:
    """The 97.5 % point of Student's t: a table up to 30 degrees of freedom, z + (z³ + z) / 4ν above.

    The first term of Abramowitz and Stegun, 1964, equation 26.7.5, is right to 0.005 there.
    Raises ValueError below 1.
    """
    if freedom < 1:
        raise ValueError(f"freedom={freedom}: Student's t needs at least 1 degree of freedom, two numbers")
    return T[freedom - 1] if freedom <= len(T) else Z + (Z**3 + Z) / (4 * freedom)


def interval(values: Sequence[float]) -> Interval:
    """The mean of independent values and the half width of its 95 % interval, t s / √n. Raises ValueError for none."""
    if not values:
        raise ValueError("no values: a mean needs at least one")
    if len(values) == 1:
        return Interval(values[0], None)
    return Interval(fmean(values), t_point(len(values) - 1) * stdev(values) / math.sqrt(len(values)))


def gain(values: Sequence[float], over: Sequence[float]) -> Interval:
    """The interval of the differences, value by value. Raises ValueError when there are not as many of both."""
    return interval([value - other for value, other in zip(values, over, strict=True)])
