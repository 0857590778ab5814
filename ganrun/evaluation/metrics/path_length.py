"""Perceptual path length: how far a small step between two latents takes a picture (Karras et al., 2019)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Blend = Callable[[Tensor, Tensor, Tensor], Tensor]
EPSILON = 1e-4
KEPT = (0.01, 0.99)  # of the lengths: their released code leaves out the outermost, which may be without bound


def lerp(one: Tensor, other: Tensor, t: Tensor) -> Tensor:
    """(N, Z), (N, Z), (N, 1) -> (N, Z) on the straight line, for latents that fill a cube."""
    return torch.lerp(one, other, t)


def slerp(one: Tensor, other: Tensor, t: Tensor) -> Tensor:
    """(N, Z), (N, Z), (N, 1) -> (N, Z) along the arc, for Gaussian latents: sin((1−t)Ω)/sin Ω a + sin(tΩ)/sin Ω b.

    Shoemake, 1985, section 3.3. The lengths stay those of latents, which no generator here divides by.
    """
    cosine = (one * other).sum(1, keepdim=True) / (one.norm(dim=1, keepdim=True) * other.norm(dim=1, keepdim=True))
    angle = cosine.clamp(-1 + 1e-12, 1 - 1e-12).acos()
    return (((1 - t) * angle).sin() * one + (t * angle).sin() * other) / angle.sin()


def steps(one: Tensor, other: Tensor, t: Tensor, blend: Blend, epsilon: float = EPSILON) -> tuple[Tensor, Tensor]:
    """(N, Z), (N, Z), (N, 1) -> (N, Z) at t and (N, Z) at t + ε, worked out in float64, in the latents' own type."""
    a, b, at = one.double(), other.double(), t.double()
    return blend(a, b, at).to(one.dtype), blend(a, b, at + epsilon).to(one.dtype)


def path_length(before: Tensor, after: Tensor, epsilon: float = EPSILON) -> Tensor:
    """(N, F), (N, F) features of the pictures at t and at t + ε -> (N,) d / ε², d the squared distance (equation 2)."""
    return (after.double() - before.double()).square().sum(1) / epsilon**2


def without_extremes(lengths: Tensor) -> float:
    """(N,) -> the mean of those between the first and the last hundredth."""
    low, high = torch.quantile(lengths, torch.tensor(KEPT, dtype=lengths.dtype, device=lengths.device))
    return lengths[(lengths >= low) & (lengths <= high)].mean().item()
