"""Projection heads: patches of a translator's features as vectors that can be compared (Park et al., 2020)."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from ganrun.common.bounds import Setting
from ganrun.networks.init import init_normal_


class PatchHeads(nn.Module):
    """H_l, a perceptron with one hidden layer for each layer l of the encoder; its output has length 1 (section 3).

    size: channels of the hidden layer and of the output, 256 in the paper. `build` makes them for a generator.
    """

    couples_images = False

    def __init__(self, size: Setting = 256) -> None:
        super().__init__()
        self.size = size
        self.heads = nn.ModuleList()

    def build(self, channels: Sequence[int]) -> None:
        """Makes a head for each layer of so many channels. A system calls it once, before anything has weights."""
        self.heads.extend(
            nn.Sequential(nn.Linear(inputs, self.size), nn.ReLU(), nn.Linear(self.size, self.size))
            for inputs in channels
        )
        init_normal_(self)

    def forward(self, patches: Sequence[Tensor]) -> list[Tensor]:
        """(N, S, C) patches of each layer -> (N, S, size) vectors of length 1, float32, of each layer."""
        return [F.normalize(head(part).float(), dim=2) for head, part in zip(self.heads, patches, strict=True)]
