"""PatchNCE: a patch of the output belongs to the patch of the input at its place (Park et al., 2020)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def patch_nce(queries: Tensor, keys: Tensor, temperature: float) -> Tensor:
    """(N, S, C) vectors of length 1 of the output, and of the input at the same S places -> () the mean of ℓ.

    ℓ(v, v⁺, v⁻) = −log [exp(v·v⁺/τ) / (exp(v·v⁺/τ) + Σ exp(v·v⁻/τ))], where the v⁻ are the S − 1 other patches of the
    same image (equation 3). No gradient reaches the keys.
    """
    # divided here, where there are C numbers for each query instead of S
    similarity = torch.bmm(queries.float() / temperature, keys.detach().float().transpose(1, 2))  # (N, S, S)
    places = torch.arange(similarity.shape[2], device=similarity.device).expand(len(similarity), -1)
    return F.cross_entropy(similarity.flatten(0, 1), places.flatten())
