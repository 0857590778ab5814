"""Layers that let a discriminator compare the images of a batch, so that it sees when fakes are all alike."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ganrun.networks.sizes import Grid


class MinibatchStddev(nn.Module):
    """One more channel: the standard deviation over the batch, averaged over features and places (Karras et al., 2018).

    With a `group`, over so many images of the batch at a time; over the next smaller number that divides the batch,
    where that one does not. None: the whole batch is compared.
    """

    def __init__(self, group: int | None = None) -> None:
        super().__init__()
        self.group = group

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C + 1, H, W)"""
        images = len(features)
        size = next(size for size in range(min(self.group or images, images), 0, -1) if images % size == 0)
        groups = features.float().unflatten(0, (size, images // size))  # image i is in group i % (N / size)
        # 1e-8 keeps the root's gradient finite where all images are alike
        deviation = (groups.var(0, correction=0) + 1e-8).sqrt().mean((1, 2, 3))  # (N / size,)
        one_more = deviation.to(features.dtype).repeat(size)[:, None, None, None]
        return torch.cat([features, one_more.expand(-1, 1, *features.shape[2:])], dim=1)


class MinibatchDiscrimination(nn.Module):
    """B more channels: o(x_i)_b = Σ_j exp(−|M_ib − M_jb|₁), M_i = f(x_i) T (Salimans et al., 2016, section 3.2).

    f(x) are all C·H·W features, T is (C·H·W, B, C'); B is `kernels`, C' `dimensions`. The sum includes j = i.
    """

    def __init__(self, channels: int, grid: Grid, kernels: int = 100, dimensions: int = 5) -> None:
        super().__init__()
        self.kernels = kernels
        self.T = nn.Linear(channels * math.prod(grid), kernels * dimensions, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C + B, H, W), the same o at every place."""
        M = self.T(features.flatten(1)).view(len(features), self.kernels, -1).float()
        o = torch.exp(-(M[:, None] - M[None]).abs().sum(3)).sum(1)  # (N, N, B, C') -> (N, B)
        more = o.to(features.dtype)[:, :, None, None].expand(-1, -1, *features.shape[2:])
        return torch.cat([features, more], dim=1)


class Comparison(NamedTuple):
    """What stands before the last layer, and how many channels it adds."""

    layers: list[nn.Module]
    channels: int


def none(channels: int, grid: Grid, group: int | None = None) -> Comparison:
    return Comparison([], 0)


def stddev(channels: int, grid: Grid, group: int | None = None) -> Comparison:
    return Comparison([MinibatchStddev(group)], 1)


def discrimination(channels: int, grid: Grid, group: int | None = None) -> Comparison:
    layer = MinibatchDiscrimination(channels, grid)
    return Comparison([layer], layer.kernels)


MINIBATCH = {"none": none, "stddev": stddev, "discrimination": discrimination}


def find_minibatch(name: str) -> Callable[..., Comparison]:
    """A function of channels, grid and the group of stddev. Raises ValueError with the names there are."""
    if name not in MINIBATCH:
        raise ValueError(f"minibatch={name!r} is none of: {', '.join(MINIBATCH)}")
    return MINIBATCH[name]
