"""KID, the kernel Inception distance between two sets of features (Bińkowski et al., 2018)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

SEED = 2020  # torch-fidelity's seed for the subsets, so that the subsets are the same


def kid(real: Tensor, fake: Tensor, subsets: int = 100, size: int = 1000, seed: int = SEED) -> float:
    """(N, F), (M, F) features -> the mean of MMD² over random subsets of `size` pictures of each set (section 4.1).

    The estimate is unbiased, so it can be a little below 0 when the sets are alike.
    Raises ValueError when `size` is below 2 or larger than one of the sets.
    """
    if not 2 <= size <= min(len(real), len(fake)):
        raise ValueError(f"subsets of {size} cannot be taken from {len(fake)} and {len(real)} pictures")
    draws = np.random.RandomState(seed)
    total = 0.0
    for _ in range(subsets):
        x, y = (take(features, draws.choice(len(features), size, replace=False)) for features in (fake, real))
        total += mmd2(x, y).item()
    return total / subsets


def take(features: Tensor, indices: np.ndarray) -> Tensor:
    """(N, F), (n,) -> (n, F) float64."""
    return features[torch.from_numpy(indices).to(features.device)].double()


def mmd2(x: Tensor, y: Tensor) -> Tensor:
    """(m, F), (m, F) -> () the unbiased estimate of MMD² (Gretton et al., 2012, lemma 6).

    The diagonals are 0 because lemma 6 sums over pairs of different points.
    """
    m = len(x)
    inside = kernel(x, x).fill_diagonal_(0).sum() + kernel(y, y).fill_diagonal_(0).sum()
    return inside / (m * (m - 1)) - 2 * kernel(x, y).mean()


def kernel(x: Tensor, y: Tensor) -> Tensor:
    """(m, F), (n, F) -> (m, n) k(x, y) = (xᵀy / F + 1)³."""
    return (x @ y.T / x.shape[1] + 1) ** 3
