"""How many of the known modes the samples cover, and how evenly (Lin et al., 2018, section 4)."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def modes_covered(mode: Tensor, good: Tensor | None, count: int) -> dict[str, float]:
    """(N,) int64 modes below `count` -> modes: those that a sample covers; reverse_kl: Σ p log(p K), p their shares.

    With `good`, (N,) bool, only good samples count, and high_quality is their share. Without one of them there is no
    reverse_kl. 0 is the best reverse_kl, log K that of a single mode.
    """
    counts = torch.bincount(mode if good is None else mode[good], minlength=count).double()
    values = {"modes": float((counts > 0).sum())}
    if good is not None:
        values["high_quality"] = good.double().mean().item()
    if counts.sum() > 0:
        p = counts / counts.sum()
        values["reverse_kl"] = torch.special.xlogy(p, p).sum().item() + math.log(count)
    return values
