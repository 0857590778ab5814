"""Tiny players for the games that take pictures in."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Times(nn.Module):
    """A translator of one weight: images -> weight · images."""

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight))

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)"""
        return self.weight * images


class Enlarge(Times):
    """Twice the size, each pixel a block, times the weight."""

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, h, w) -> (N, C, 2h, 2w)"""
        return super().forward(images).repeat_interleave(2, 2).repeat_interleave(2, 3)


class Weigh(nn.Module):
    """A discriminator with a map of logits: each pixel times its channel's weight."""

    def __init__(self, *weights: float) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.tensor(weights))

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, 1, H, W)"""
        return (images * self.weights[:, None, None]).sum(1, keepdim=True)


def flat(*values: float, size: tuple[int, int] = (4, 4)) -> Tensor:
    """(N, 1, H, W): one even picture for each value."""
    return torch.tensor(values).view(-1, 1, 1, 1).expand(-1, 1, *size).clone()
