"""Nearest neighbours among features. Distances are computed in blocks, so that memory stays limited."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

BLOCK = 2**24  # distances in memory at a time, 128 MiB of float64


def distances(points: Tensor, others: Tensor) -> Iterator[Tensor]:
    """(N, F), (M, F) -> the (N, M) squared Euclidean distances, float64, as consecutive blocks of rows."""
    others = others.double()
    lengths = others.square().sum(1)
    for part in points.split(max(1, BLOCK // max(1, len(others)))):
        part = part.double()
        yield torch.addmm(lengths + part.square().sum(1, keepdim=True), part, others.T, alpha=-2).clamp_min_(0)


def nearest(points: Tensor, others: Tensor, k: int = 1) -> tuple[Tensor, Tensor]:
    """(N, F), (M, F) -> for each point its k nearest neighbours among `others`, the nearest first.

    Returns (N, k) squared distances and (N, k) indices into `others`. Raises ValueError when there are fewer than k
    others.
    """
    if len(others) < k:
        raise ValueError(f"{k} neighbours cannot be found among {len(others)} pictures")
    found = [block.topk(k, largest=False) for block in distances(points, others)]
    return torch.cat([part.values for part in found]), torch.cat([part.indices for part in found])


def radii(points: Tensor, k: int) -> Tensor:
    """(N, F) -> (N,) the squared distance of each point to its k-th nearest neighbour, other than itself."""
    return nearest(points, points, k + 1)[0][:, k]
