"""Nearest neighbours among features, a block of distances at a time."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

BLOCK = 2**24  # distances in memory at a time, 128 MiB of float64


def distances(points: Tensor, others: Tensor) -> Iterator[Tensor]:
    """(N, F), (M, F) -> blocks of rows of the (N, M) squared Euclidean distances, float64, in order."""
    others = others.double()
    lengths = others.square().sum(1)
    for part in points.split(max(1, BLOCK // max(1, len(others)))):
        part = part.double()
        yield torch.addmm(lengths + part.square().sum(1, keepdim=True), part, others.T, alpha=-2).clamp_min_(0)


def nearest(points: Tensor, others: Tensor, k: int = 1) -> tuple[Tensor, Tensor]:
    """(N, F), (M, F) -> (N, k) squared distances to the nearest others, the nearest first, and (N, k) which they are.

    Raises ValueError for fewer than k others.
    """
    if len(others) < k:
        raise ValueError(f"{k} neighbours cannot be found among {len(others)} pictures")
    found = [block.topk(k, largest=False) for block in distances(points, others)]
    return torch.cat([part.values for part in found]), torch.cat([part.indices for part in found])


def radii(points: Tensor, k: int) -> Tensor:
    """(N, F) -> (N,) the squared distance of each to its k-th nearest other one."""
    return nearest(points, points, k + 1)[0][:, k]
