"""The share of each class, and the distance between two lists of shares."""

from __future__ import annotations

import torch
from torch import Tensor


def shares(labels: Tensor, classes: int) -> Tensor:
    """(N,) int64 -> (K,) the share of each class, float64."""
    return torch.bincount(labels, minlength=classes).double() / len(labels)


def total_variation(one: Tensor, other: Tensor) -> float:
    """(K,), (K,) shares -> ½ Σ |p − q|: 0 for equal shares, 1 when no class occurs in both lists."""
    return (one - other).abs().sum().item() / 2
