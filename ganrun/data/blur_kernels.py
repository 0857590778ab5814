"""Blur kernels: Gaussian, generalized Gaussian, plateau and sinc, each drawn at random (Wang et al., 2021)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated

import torch
from torch import Tensor

from ganrun.common.bounds import At, Share
from ganrun.data.damage import check_share, ordered

Sigma = Annotated[float, At(0.05, 128)]  # pixels
Sigmas = Annotated[Sequence[Sigma], "[low, high], pixels from 0.05 to 128"]
Shape = Annotated[float, At(0.05, 100)]
Shapes = Annotated[Sequence[Shape], "[low, high], from 0.05 to 100"]
Cutoff = Annotated[float, At(0.05, 1)]
Cutoffs = Annotated[Sequence[Cutoff], "[low, high], from 0.05 to 1"]


class Kernel:
    """A family of blur kernels with random numbers from torch's CPU random state."""

    def draw(self, count: int, reach: int) -> Tensor:
        """(count, 2·reach + 1, 2·reach + 1) float32 on the CPU, not yet divided by their sums."""
        raise NotImplementedError


class Gaussian(Kernel):
    """exp(-½ CᵀΣ⁻¹C) with C = (i, j) (section 3.1).

    sigma: the range of the standard deviations σ₁ and σ₂ along the axes of Σ, in pixels. anisotropic: the probability
    of an own σ₂ and a random angle; otherwise σ₂ = σ₁. Raises ValueError for a range out of order.
    """

    def __init__(self, sigma: Sigmas = (0.2, 3.0), anisotropic: Share = 0.5) -> None:
        check_share("anisotropic", anisotropic)
        self.sigma, self.anisotropic = ordered("sigma", sigma, 0.05, 128), anisotropic

    def draw(self, count: int, reach: int) -> Tensor:
        return torch.exp(-0.5 * self.distance(count, reach))

    def distance(self, count: int, reach: int) -> Tensor:
        """(count, K, K) CᵀΣ⁻¹C with a random Σ each."""
        first, second = torch.empty(2, count, 1, 1).uniform_(*self.sigma)
        angle = torch.empty(count, 1, 1).uniform_(0, math.pi)
        isotropic = torch.rand(count, 1, 1) >= self.anisotropic
        return squared_distance(first, torch.where(isotropic, first, second), angle, reach)


class GeneralizedGaussian(Gaussian):
    """exp(-½ (CᵀΣ⁻¹C)^β). β: below 1 the tails are heavier, above 1 the top is flatter. beta: the range of β."""

    def __init__(self, sigma: Sigmas = (0.2, 3.0), anisotropic: Share = 0.5, beta: Shapes = (0.5, 4.0)) -> None:
        super().__init__(sigma, anisotropic)
        self.beta = ordered("beta", beta, 0.05, 100)

    def draw(self, count: int, reach: int) -> Tensor:
        return torch.exp(-0.5 * self.distance(count, reach) ** torch.empty(count, 1, 1).uniform_(*self.beta))


class Plateau(GeneralizedGaussian):
    """1 / (1 + (CᵀΣ⁻¹C)^β)."""

    def __init__(self, sigma: Sigmas = (0.2, 3.0), anisotropic: Share = 0.5, beta: Shapes = (1.0, 2.0)) -> None:
        super().__init__(sigma, anisotropic, beta)

    def draw(self, count: int, reach: int) -> Tensor:
        return 1 / (1 + self.distance(count, reach) ** torch.empty(count, 1, 1).uniform_(*self.beta))


class Sinc(Kernel):
    """The ideal low-pass filter ω J₁(ω r) / (2π r), which rings at edges (section 3.3; J₁: the Bessel function).

    cutoff: the range of ω/π, uniform: 1 is the finest pattern that pixels can show, 0.5 a pattern of four pixels.
    Raises ValueError for a range out of order.
    """

    def __init__(self, cutoff: Cutoffs = (0.33, 1.0)) -> None:
        self.cutoff = ordered("cutoff", cutoff, 0.05, 1)

    def draw(self, count: int, reach: int) -> Tensor:
        omega = math.pi * torch.empty(count, 1, 1).uniform_(*self.cutoff)
        radius = torch.hypot(*offsets(reach))
        beside = omega * torch.special.bessel_j1(omega * radius) / (2 * math.pi * radius.clamp(min=1))
        return torch.where(radius == 0, omega**2 / (4 * math.pi), beside)  # J₁(x)/x goes to ½


def squared_distance(first: Tensor, second: Tensor, angle: Tensor, reach: int) -> Tensor:
    """(N, K, K) CᵀΣ⁻¹C, where Σ has the standard deviations `first` along the angle and `second` across it."""
    y, x = offsets(reach)
    along, across = x * angle.cos() + y * angle.sin(), y * angle.cos() - x * angle.sin()
    return (along / first) ** 2 + (across / second) ** 2


def offsets(reach: int) -> tuple[Tensor, Tensor]:
    """(K, K) rows and (K, K) columns, counted from the centre."""
    steps = torch.arange(-reach, reach + 1, dtype=torch.float32)
    rows, columns = torch.meshgrid(steps, steps, indexing="ij")
    return rows, columns
