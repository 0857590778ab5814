"""Heads: the last layers of a discriminator, one logit of being real and further outputs of the same features."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from ganrun.networks.norms import Norm
from ganrun.networks.sizes import Grid


class DeepHeads(nn.Module):
    """The first output is one linear layer. The `outputs - 1` others have hidden layers of these widths before theirs.

    Each hidden layer is a dense layer, the norm and a leaky ReLU: InfoGAN's Q has one of 128 (Chen et al., 2016,
    appendix C.1). Raises ValueError when there is no output besides the first.
    """

    couples_images = False

    def __init__(self, channels: int, grid: Grid, outputs: int, widths: Sequence[int], norm: Norm) -> None:
        super().__init__()
        if outputs < 2:
            raise ValueError(
                f"head_widths={list(widths)} are for further outputs, but heads={outputs}: use heads=2 or more"
            )
        self.first = nn.Conv2d(channels, 1, grid)
        hidden, layers = norm.of_vectors, list[nn.Module]()
        for number, (inputs, width) in enumerate(pairwise([channels, *widths])):
            layers += [
                nn.Conv2d(inputs, width, grid if number == 0 else 1, bias=hidden.bias),
                hidden.layer(width),
                nn.LeakyReLU(0.2, inplace=True),
            ]
        self.others = nn.Sequential(*layers, nn.Conv2d(widths[-1], outputs - 1, 1))

    def forward(self, features: Tensor) -> Tensor:
        """(N, channels, *grid) -> (N, outputs, 1, 1)."""
        return torch.cat([self.first(features), self.others(features)], 1)


def heads_of(channels: int, grid: Grid, outputs: int, widths: Sequence[int], norm: Norm) -> nn.Module:
    """(N, channels, *grid) -> (N, outputs, 1, 1): a single linear layer when there are no hidden widths."""
    return DeepHeads(channels, grid, outputs, widths, norm) if widths else nn.Conv2d(channels, outputs, grid)
