"""How often each class occurs, and how far two such lists are apart."""

from __future__ import annotations

import torch
from torch import Tensor


def shares(labels: Tensor, classes: int) -> Tensor:
    """(N,) int64 -> (K,) the share of each class, float64."""
    return torch.bincount(labels, minlength=classes).double() / len(labels)


def total_variation(one: Tensor, other: Tensor) -> float:
    """(K,), (K,) shares -> ½ Σ |p − q|: 0 for equal ones, 1 where no class is in both."""
    return (one - other).abs().sum().item() / 2
