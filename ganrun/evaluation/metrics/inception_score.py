"""The Inception Score: each picture of one sure class, all classes alike (Salimans et al., 2016)."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

SEED = 2020  # of the order in which pictures are split: torch-fidelity's


def inception_score(logits: Tensor, splits: int = 10, seed: int = SEED) -> float:
    """(N, K) logits -> exp E KL(p(y|x) ‖ p(y)), the mean over `splits` parts in a shuffled order; 1 to K.

    Raises ValueError for a single class, whose score is 1 whatever the pictures are, and for fewer pictures than parts.
    """
    count, classes = logits.shape
    if classes < 2:
        raise ValueError("the Inception Score of one class is 1 whatever the pictures are: it needs at least two")
    if count < splits:
        raise ValueError(f"{count} pictures cannot be parted into {splits} splits")
    order = torch.from_numpy(np.random.RandomState(seed).permutation(count)).to(logits.device)
    shares = logits[order].double().log_softmax(1)
    parts = (shares[part * count // splits : (part + 1) * count // splits] for part in range(splits))
    return sum(math.exp(divergence(part)) for part in parts) / splits


def divergence(log_p: Tensor) -> float:
    """(n, K) log p(y|x) -> the mean of KL(p(y|x) ‖ p(y)), p(y) their mean."""
    p = log_p.exp()
    log_marginal = p.mean(0).log()
    return torch.where(p > 0, p * (log_p - log_marginal), 0.0).sum(1).mean().item()
