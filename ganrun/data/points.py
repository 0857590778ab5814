"""Ring and grid: points of a plane around known centres, to see which of them a generator forgets."""

from __future__ import annotations

import math
from typing import TypedDict, Unpack

import torch
from torch import Tensor

from ganrun.common.bounds import Count, Natural, Positive, Whole
from ganrun.data.dataset import Dataset, Size, as_size
from ganrun.data.modes import Gaussians


class PointOptions(TypedDict, total=False):
    """Options of `GaussianPoints` that its subclasses take as `**options`; the defaults are those of the class."""

    count: Count
    seed: Natural
    image_size: Size
    channels: int
    classes: Whole
    limit: Count | None
    flip: bool
    kimg: Positive


class GaussianPoints(Dataset):
    """`count` points, each around one of `centres`, as float32 pictures of 2 channels and 1×1 pixel.

    centres: (K, 2) in the plane's own units, in which `half_width` is an image's 1: points lie in [-1, 1] after the
    division by it. The points are a function of `seed`. classes: 0, or K, which labels each point with its centre.
    Raises ValueError for another number of classes.
    """

    def __init__(
        self,
        centres: Tensor,
        sigma: Positive,
        half_width: Positive,
        count: Count = 100_000,
        seed: Natural = 0,
        image_size: Size = 1,
        channels: int = 2,
        classes: Whole = 0,
        limit: Count | None = None,
        flip: bool = False,
        kimg: Positive = 40_000,
    ) -> None:
        if classes not in (0, len(centres)):
            raise ValueError(f"dataset.classes={classes} must be 0, or {len(centres)}: a class for each centre")
        if as_size(image_size) != (1, 1) or channels != 2:
            raise ValueError("a point is 2 channels of 1×1 pixel: leave dataset.image_size and dataset.channels out")
        source = torch.Generator().manual_seed(seed)
        which = torch.randint(len(centres), (count,), generator=source)
        points = centres[which] + sigma * torch.randn(count, 2, generator=source)
        names = [f"{number}" for number in range(len(centres))] if classes else []
        super().__init__(
            (points / half_width)[:, :, None, None], which if classes else None, names, flip, limit, kimg, classes
        )
        self.modes = Gaussians(centres / half_width, sigma / half_width)


class Ring(GaussianPoints):
    """`modes` Gaussians on the unit circle (Lin et al., 2018, section 4.1: 8 of σ = .01, 100,000 points)."""

    def __init__(
        self,
        modes: Count = 8,
        sigma: Positive = 0.01,
        half_width: Positive = 1.25,
        **options: Unpack[PointOptions],
    ) -> None:
        angles = 2 * math.pi * torch.arange(modes) / modes
        super().__init__(torch.stack([angles.cos(), angles.sin()], dim=1), sigma, half_width, **options)


class Grid(GaussianPoints):
    """side × side Gaussians, `spacing` apart (Lin et al., 2018, section 4.1: 5 × 5, 2 apart, σ = .05)."""

    def __init__(
        self,
        side: Count = 5,
        spacing: Positive = 2.0,
        sigma: Positive = 0.05,
        half_width: Positive = 5.0,
        **options: Unpack[PointOptions],
    ) -> None:
        places = spacing * (torch.arange(side) - (side - 1) / 2)
        super().__init__(torch.cartesian_prod(places, places).view(-1, 2), sigma, half_width, **options)
