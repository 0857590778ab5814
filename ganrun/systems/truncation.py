"""Truncation: fewer odd pictures and less variety, by latents or styles nearer to the middle."""

from __future__ import annotations

from torch import Tensor, nn


def truncated_latents(latent: nn.Module, latents: Tensor, threshold: float) -> Tensor:
    """(N, Z) latents -> (N, Z) within ±threshold. Raises ValueError where they have no tails that could be cut off."""
    truncated = getattr(latent, "truncated", None)
    if truncated is None:
        raise ValueError(f"truncation={threshold}: {type(latent).__name__} has no method truncated(latents, threshold)")
    return truncated(latents, threshold)
