"""SRResNet: residual blocks at the small size, pixel shuffles to the large one (Ledig et al., 2017)."""

from __future__ import annotations

from typing import Annotated

import torch.nn.functional as F
from torch import Tensor, nn

from ganrun.common.bounds import At, Setting
from ganrun.networks.init import init_normal_


class SRResNet(nn.Module):
    """Enlarges 2 or 4 times: draws what a bicubic enlargement lacks.

    Without the paper's BatchNorm, whose running statistics cost detail and show as blotches (Lim et al., 2017).
    Any size goes through. Raises ValueError for another `scale`.
    """

    def __init__(
        self,
        channels: Setting,
        scale: Setting = 4,
        base_channels: Setting = 64,
        blocks: Annotated[int, At(1, 1000)] = 16,
    ) -> None:
        super().__init__()
        if scale not in (2, 4):
            raise ValueError(
                f"scale={scale}: SRResNet enlarges 2 or 4 times; use dataset=low_res, or dataset=paired dataset.scale=2"
            )
        self.scale = scale
        self.first = nn.Sequential(nn.Conv2d(channels, base_channels, 9, padding=4), nn.PReLU())
        self.blocks = nn.Sequential(
            *(Block(base_channels) for _ in range(blocks)), nn.Conv2d(base_channels, base_channels, 3, padding=1)
        )
        doublings = [layer for _ in range(scale // 2) for layer in doubling(base_channels)]
        self.last = nn.Sequential(*doublings, nn.Conv2d(base_channels, channels, 9, padding=4))
        init_normal_(self)

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, h, w) -> (N, C, scale·h, scale·w) images in [-1, 1]."""
        features = self.first(images)
        details = self.last(features + self.blocks(features))
        return (F.interpolate(images, scale_factor=self.scale, mode="bicubic") + details).clamp(-1, 1)


class Block(nn.Module):
    """Two 3×3 convolutions beside a bypass."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1), nn.PReLU(), nn.Conv2d(channels, channels, 3, padding=1)
        )

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, h, w) -> (N, C, h, w)"""
        return features + self.layers(features)


def doubling(channels: int) -> list[nn.Module]:
    """(N, C, h, w) -> (N, C, 2h, 2w)"""
    return [nn.Conv2d(channels, 4 * channels, 3, padding=1), nn.PixelShuffle(2), nn.PReLU()]
