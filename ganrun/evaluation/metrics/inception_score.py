"""The Inception Score: high when the class of each picture is clear and all classes are equally frequent
(Salimans et al., 2016)."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

SEED = 2020  # torch-fidelity's seed for the order of the pictures, so that the splits are the same


def inception_score(logits: Tensor, splits: int = 10, seed: int = SEED) -> float:
    """(N, K) logits -> exp E KL(p(y|x) ‖ p(y)), from 1 to K.

    The pictures are shuffled and divided into `splits` parts; the result is the mean over the parts.
    Raises ValueError for a single class, which always scores 1, and for fewer pictures than splits.
    """
    count, classes = logits.shape
    if classes < 2:
        raise ValueError("the Inception Score needs at least two classes: with one class it is always 1")
    if count < splits:
        raise ValueError(f"{count} pictures cannot be divided into {splits} splits")
    order = torch.from_numpy(np.random.RandomState(seed).permutation(count)).to(logits.device)
    shares = logits[order].double().log_softmax(1)
    parts = (shares[part * count // splits : (part + 1) * count // splits] for part in range(splits))
    return sum(math.exp(divergence(part)) for part in parts) / splits


def divergence(log_p: Tensor) -> float:
    """(n, K) log p(y|x) -> the mean of KL(p(y|x) ‖ p(y)), where p(y) is the mean of p(y|x)."""
    p = log_p.exp()
    log_marginal = p.mean(0).log()
    return torch.where(p > 0, p * (log_p - log_marginal), 0.0).sum(1).mean().item()
