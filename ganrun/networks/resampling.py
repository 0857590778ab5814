"""Doubling and halving with the filter [1, 3, 3, 1], against aliasing (Karras et al., 2020, appendix B)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

TAPS = (1 / 8, 3 / 8, 3 / 8, 1 / 8)


class Filter(nn.Module):
    """`gain` times the 4×4 filter, zeros beyond the borders; stride 2 with padding 1 halves the sides.

    One depthwise convolution: of five ways to compute it, the quickest on a CPU in both passes and the second
    derivative, where images lie in channels_last as they do in training.
    """

    couples_images = False
    kernel: Tensor  # (4, 4)

    def __init__(self, padding: int, stride: int = 1, gain: float = 1.0) -> None:
        super().__init__()
        self.padding, self.stride = padding, stride
        taps = torch.tensor(TAPS)
        self.register_buffer("kernel", gain * torch.outer(taps, taps), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, (H + 2·padding - 4) // stride + 1, …)"""
        channels = images.shape[1]
        kernel = self.kernel.to(images.dtype).expand(channels, 1, 4, 4)
        return F.conv2d(images, kernel, None, self.stride, self.padding, groups=channels)


def doubled(images: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, C, 2·H, 2·W). Each new pixel is 3/4 of the nearest and 1/4 of the next one: bilinear."""
    return F.interpolate(images, scale_factor=2, mode="bilinear", align_corners=False)
