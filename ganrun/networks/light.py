"""Light: plain convolutions at the small size and one pixel shuffle, for CPUs and fast use (Du et al., 2021)."""

from __future__ import annotations

from typing import Annotated

import torch.nn.functional as F
from torch import Tensor, nn

from ganrun.common.bounds import At, Setting
from ganrun.networks.init import init_he_


class Light(nn.Module):
    """Draws what a bicubic enlargement lacks; `scale` from 1 to 8.

    3×3 convolutions with PReLU, all at the size of the input, and a pixel shuffle at the end (Shi et al., 2016). No
    layer keeps a second copy of the features, so it needs little memory. It starts as the enlargement itself: its last
    layer is 0. Any size goes through.
    """

    def __init__(
        self,
        channels: Setting,
        scale: Annotated[int, At(1, 8)] = 4,
        base_channels: Setting = 64,
        blocks: Annotated[int, At(1, 1000)] = 16,
    ) -> None:
        super().__init__()
        self.scale = scale
        layers: list[nn.Module] = []
        for inputs in (channels, *[base_channels] * blocks):
            layers += [nn.Conv2d(inputs, base_channels, 3, padding=1), nn.PReLU(base_channels)]
        self.body = nn.Sequential(*layers)
        self.last = nn.Conv2d(base_channels, channels * scale**2, 3, padding=1)
        init_he_(self, slope=0.25)  # PReLU's own first slope
        nn.init.zeros_(self.last.weight)

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, h, w) -> (N, C, scale·h, scale·w) images in [-1, 1]."""
        details = F.pixel_shuffle(self.last(self.body(images)), self.scale)
        return (self.enlarged(images) + details).clamp(-1, 1)

    def enlarged(self, images: Tensor) -> Tensor:
        """(N, C, h, w) -> (N, C, scale·h, scale·w)"""
        return images if self.scale == 1 else F.interpolate(images, scale_factor=self.scale, mode="bicubic")
