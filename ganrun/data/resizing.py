"""Resizing: to a random size, and to the size that a source ends with, by several filters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ganrun.common.bounds import At, NotEmpty, Share
from ganrun.data.chains import choices, probabilities
from ganrun.data.damage import Damage, ordered

Filter = Literal["area", "bilinear", "bicubic"]
FILTERS: tuple[Filter, ...] = ("area", "bilinear", "bicubic")
Filters = Annotated[Sequence[Filter], NotEmpty(), "a list of area, bilinear and bicubic"]
Factor = Annotated[float, At(1 / 64, 64)]
Factors = Annotated[Sequence[Factor], "[low, high]"]
WAYS = ("down", "up", "keep")


class RandomResize(Damage):
    """Resizes all pictures by one random factor and one random filter (Wang et al., 2021, section 3.1).

    shares: how often it makes them smaller (`down`), larger (`up`) or keeps them (`keep`). smaller, larger: the range
    of the factor, uniform in it. filters: area, bilinear or bicubic; the last two read 2 and 4 pixels a side, so they
    leave aliases of fine patterns, as simple programs do. Raises ValueError for a range out of order.
    """

    def __init__(
        self,
        shares: Mapping[str, Share] = {"down": 0.6, "up": 0.2, "keep": 0.2},
        smaller: Factors = (0.3, 1.0),
        larger: Factors = (1.0, 1.5),
        filters: Filters = FILTERS,
    ) -> None:
        super().__init__()
        self.shares = probabilities(shares, dict.fromkeys(WAYS))
        self.ranges = (ordered("smaller", smaller, 0, 1), ordered("larger", larger, 1, 64))
        self.filters = known(filters)

    def share_after(self, share: Fraction | None, goal: Fraction | None) -> Fraction | None:
        return None

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) images in [-1, 1] -> (N, C, h, w), a random size of at least one pixel."""
        factor = self.factor()
        sides = [max(1, round(side * factor)) for side in images.shape[2:]]
        return resized(images, (sides[0], sides[1]), self.filters)

    def factor(self) -> float:
        way = int(choices(self.shares, 1))
        return 1.0 if WAYS[way] == "keep" else torch.empty(()).uniform_(*self.ranges[way]).item()


class FinalSize(Damage):
    """Resizes to the size that the whole degradation ends with: that of the target divided by its `factor`."""

    def __init__(self, filters: Filters = FILTERS) -> None:
        super().__init__()
        self.filters = known(filters)

    def share_after(self, share: Fraction | None, goal: Fraction | None) -> Fraction | None:
        return goal

    def forward(self, images: Tensor) -> Tensor:
        raise ValueError("FinalSize is a part of a ganrun.data.chains.Degradation, which knows the size")

    def within(self, images: Tensor, goal: tuple[int, int]) -> Tensor:
        """(N, C, h, w) images in [-1, 1] -> (N, C, *goal)."""
        return resized(images, goal, self.filters)


def resized(images: Tensor, sides: tuple[int, int], filters: Sequence[str]) -> Tensor:
    """(N, C, H, W) -> (N, C, *sides) by one of the filters, drawn at random; bicubic overshoot is clipped."""
    if tuple(images.shape[2:]) == tuple(sides):
        return images
    mode = filters[int(torch.randint(len(filters), ()))]
    return F.interpolate(images, sides, mode=mode).clamp(-1, 1)


def known(filters: Sequence[str]) -> list[str]:
    if not filters or set(filters) - set(FILTERS):
        raise ValueError(f"filters={list(filters)} must be a list of {', '.join(FILTERS)}")
    return list(filters)
