"""RRDB: dense blocks in residual blocks, the generator of ESRGAN and Real-ESRGAN (Wang et al., 2018, 2021)."""

from __future__ import annotations

from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganrun.common.bounds import At, Setting
from ganrun.networks.anysize import padded

SCALES = (1, 2, 4)
RESIDUAL = 0.2  # β: what a block adds is multiplied by it, which keeps a deep network stable (section 3.1)
FIRST_WEIGHTS = 0.1  # of He's: a deep residual network trains better from small weights (section 3.1)
DENSE = 5  # convolutions in a dense block


class RRDB(nn.Module):
    """Enlarges 1, 2 or 4 times. Most of its work is done at a quarter of the output's sides.

    A convolution, `blocks` blocks with a bypass around all of them, two doublings (nearest neighbours, then a
    convolution), two convolutions. With `unshuffle` and a scale below 4, blocks of 2×2 or 4×4 pixels of the input
    become channels first, as in Real-ESRGAN: the network then has the doublings of ×4. Without it, ×2 has one doubling
    and ×1 none. growth: the channels that each convolution of a dense block adds. Any size goes through.
    Raises ValueError for another `scale`.
    """

    def __init__(
        self,
        channels: Setting,
        scale: Setting = 4,
        base_channels: Setting = 64,
        blocks: Annotated[int, At(1, 1000)] = 23,
        growth: Setting | None = None,
        unshuffle: bool = True,
    ) -> None:
        super().__init__()
        if scale not in SCALES:
            raise ValueError(f"scale={scale}: RRDB enlarges 1, 2 or 4 times; use dataset.scale=2, or another network")
        growth = max(1, base_channels // 2) if growth is None else growth  # 32 for the papers' 64
        self.scale, self.fold = scale, 4 // scale if unshuffle else 1
        doublings = (scale * self.fold).bit_length() - 1
        self.first = conv(channels * self.fold**2, base_channels)
        self.blocks = nn.Sequential(*(Block(base_channels, growth) for _ in range(blocks)))
        self.join = conv(base_channels, base_channels)
        self.doublings = nn.ModuleList(conv(base_channels, base_channels) for _ in range(doublings))
        self.sharpen = conv(base_channels, base_channels)
        self.last = conv(base_channels, channels)

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, h, w) -> (N, C, scale·h, scale·w) images; within [-1, 1] in eval mode.

        In training nothing is clipped: beyond the range a clipped pixel would have no gradient.
        """
        height, width = images.shape[2:]
        whole = padded(images, self.fold, least=1)
        x = self.first(F.pixel_unshuffle(whole, self.fold))
        x = x + self.join(self.blocks(x))
        for doubling in self.doublings:
            x = active(doubling(F.interpolate(x, scale_factor=2, mode="nearest")))
        drawn = self.last(active(self.sharpen(x)))[:, :, : self.scale * height, : self.scale * width]
        return drawn if self.training else drawn.clamp(-1, 1)


class Block(nn.Module):
    """Three dense blocks: x + β f(x)."""

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(*(DenseBlock(channels, growth) for _ in range(3)))

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, h, w) -> (N, C, h, w)"""
        return features + RESIDUAL * self.layers(features)


class DenseBlock(nn.Module):
    """Five convolutions, each of which reads the input and all that came before it: x + β f(x)."""

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            conv(channels + k * growth, growth if k < DENSE - 1 else channels) for k in range(DENSE)
        )
        for layer in self.layers:
            init_small_(layer)

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, h, w) -> (N, C, h, w)"""
        seen = [features]
        for layer in self.layers[:-1]:
            seen.append(active(layer(torch.cat(seen, 1))))
        return features + RESIDUAL * self.layers[-1](torch.cat(seen, 1))


def conv(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1)


def active(features: Tensor) -> Tensor:
    return F.leaky_relu(features, 0.2)


@torch.no_grad()
def init_small_(layer: nn.Module) -> None:
    """He's weights times 0.1, bias 0."""
    assert isinstance(layer, nn.Conv2d)
    nn.init.kaiming_normal_(layer.weight)
    layer.weight.mul_(FIRST_WEIGHTS)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
