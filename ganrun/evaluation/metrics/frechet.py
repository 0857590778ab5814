"""The Fréchet distance between two sets of features, each described by a Gaussian (Heusel et al., 2017)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

CHUNK = 4096  # pictures whose features are converted to float64 at a time, which limits the extra memory


class Gaussian(NamedTuple):
    """(F,) mean and (F, F) covariance, float64."""

    mean: Tensor
    covariance: Tensor


def gaussian(features: Tensor) -> Gaussian:
    """(N, F) features -> mean and unbiased covariance. Raises ValueError when N ≤ F or a feature is not finite."""
    count, size = features.shape
    if count <= size:
        raise ValueError(f"a covariance of {size} features needs at least {size + 1} pictures, and there are {count}")
    if not features.isfinite().all():
        raise ValueError("the features hold numbers that are not finite")
    mean = torch.stack([part.double().sum(0) for part in features.split(CHUNK)]).sum(0) / count
    scatter = torch.zeros(size, size, dtype=torch.float64, device=features.device)
    for part in features.split(CHUNK):
        centred = part.double() - mean
        scatter += centred.T @ centred
    return Gaussian(mean, scatter / (count - 1))


def frechet(one: Gaussian, other: Gaussian) -> float:
    """|μ₁ − μ₂|² + tr(Σ₁ + Σ₂ − 2 (Σ₁Σ₂)^½), equation 6; 0 for equal Gaussians.

    tr (Σ₁Σ₂)^½ is computed as the sum of the singular values of Σ₁^½ Σ₂^½, which are real. The usual way takes the
    roots of the eigenvalues of Σ₁Σ₂; a root makes the rounding error of a small eigenvalue larger.
    """
    between = torch.linalg.svdvals(root(one.covariance) @ root(other.covariance)).sum()
    spread = one.covariance.trace() + other.covariance.trace() - 2 * between
    return max(0.0, ((one.mean - other.mean).square().sum() + spread).item())


def root(matrix: Tensor) -> Tensor:
    """(F, F) covariance -> (F, F) its symmetric square root. Eigenvalues that rounding made negative count as 0."""
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors * values.clamp_min(0).sqrt()) @ vectors.T
