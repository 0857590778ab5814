"""Latents: the noise that generators turn into images."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from ganrun.common.bounds import Setting


class Latent(nn.Module, ABC):
    """A distribution over vectors of `size` numbers; a module, so that a learnt one has its place."""

    def __init__(self, size: Setting) -> None:
        super().__init__()
        if size < 1:
            raise ValueError(f"latent size={size} must be at least 1")
        self.size = size

    @abstractmethod
    def sample(self, count: int, device: torch.device | str) -> Tensor:
        """-> (count, Z) on the device, drawn from torch's random state there."""


class Normal(Latent):
    """z ~ N(0, 1)."""

    def sample(self, count: int, device: torch.device | str) -> Tensor:
        return torch.randn(count, self.size, device=device)


class Uniform(Latent):
    """z ~ U(low, high)."""

    def __init__(self, size: Setting, low: float = -1.0, high: float = 1.0) -> None:
        super().__init__(size)
        if not low < high:
            raise ValueError(f"latent low={low} must be below high={high}")
        self.low, self.high = low, high

    def sample(self, count: int, device: torch.device | str) -> Tensor:
        return torch.rand(count, self.size, device=device) * (self.high - self.low) + self.low
