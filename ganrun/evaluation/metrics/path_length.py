"""Perceptual path length: how much a picture changes for a small step between two latents (Karras et al., 2019)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Blend = Callable[[Tensor, Tensor, Tensor], Tensor]
EPSILON = 1e-4  # the length of the step, as in the paper
QUANTILES = (0.01, 0.99)  # lengths outside of them are left out, as in the paper's released code: they have no bound


def lerp(one: Tensor, other: Tensor, t: Tensor) -> Tensor:
    """(N, Z), (N, Z), (N, 1) -> (N, Z): linear interpolation, for latents that are uniform in a cube."""
    return torch.lerp(one, other, t)


def slerp(one: Tensor, other: Tensor, t: Tensor) -> Tensor:
    """(N, Z), (N, Z), (N, 1) -> (N, Z): spherical interpolation, for Gaussian latents (Shoemake, 1985, section 3.3).

    sin((1−t)Ω)/sin Ω a + sin(tΩ)/sin Ω b, where Ω is the angle between a and b. The latents are not normalized first:
    the generators of this package do not normalize their latents either.
    """
    # 1e-12: at an angle of exactly 0 or π the last line would divide by 0
    cosine = (one * other).sum(1, keepdim=True) / (one.norm(dim=1, keepdim=True) * other.norm(dim=1, keepdim=True))
    angle = cosine.clamp(-1 + 1e-12, 1 - 1e-12).acos()
    return (((1 - t) * angle).sin() * one + (t * angle).sin() * other) / angle.sin()


def steps(one: Tensor, other: Tensor, t: Tensor, blend: Blend, epsilon: float = EPSILON) -> tuple[Tensor, Tensor]:
    """(N, Z), (N, Z), (N, 1) -> the two latents of each step, (N, Z) at t and (N, Z) at t + ε.

    They are computed in float64 because ε is small, and returned in the type of the latents.
    """
    a, b, at = one.double(), other.double(), t.double()
    return blend(a, b, at).to(one.dtype), blend(a, b, at + epsilon).to(one.dtype)


def path_length(before: Tensor, after: Tensor, epsilon: float = EPSILON) -> Tensor:
    """(N, F), (N, F) features of the pictures at t and at t + ε -> (N,) squared distance / ε² (equation 2)."""
    return (after.double() - before.double()).square().sum(1) / epsilon**2


def without_extremes(lengths: Tensor) -> float:
    """(N,) -> the mean of the lengths, without the smallest and the largest 1 %."""
    low, high = torch.quantile(lengths, torch.tensor(QUANTILES, dtype=lengths.dtype, device=lengths.device))
    return lengths[(lengths >= low) & (lengths <= high)].mean().item()
