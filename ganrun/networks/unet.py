"""U-Net: from picture to picture, with a bridge at every scale (Ronneberger et al., 2015; Isola et al., 2017)."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor, nn

from ganrun.common.bounds import At, Setting, Share
from ganrun.networks.anysize import cut_back, padded
from ganrun.networks.init import init_normal_
from ganrun.networks.norms import Norm, find_norm
from ganrun.networks.sizes import Size, as_size, levels_of_unet
from ganrun.networks.upsampling import Upsample, doubling

WIDEST = 8  # times base_channels
NOISY = 3  # levels with dropout, from the bottom


class UNetGenerator(nn.Module):
    """A convolution of 4×4, stride 2, for every halving, a transposed one for every way back, bridges between them.

    `upsample=resize` has nearest-neighbour upsampling and a 3×3 convolution for every way back (`networks.upsampling`).

    `levels` says how often the sides are halved: 8 for 256 pixels in the paper. None: the short side is halved down
    to 2 or 3 pixels, at most 8 times. Channels double from level to level, up to 8·base_channels. Pictures of other
    sizes than `image_size` are padded to a multiple of 2^levels, and the result is cropped to the picture's size.

    Dropout of the three innermost levels is the paper's noise; in eval mode it is off, and the same picture gives the
    same answer. `norm` names one of `ganrun.networks.norms.NORMS`. With `residual` the network draws the difference
    to its input, for restoration, where the output is close to the input. Raises ValueError for a side below 4.
    """

    def __init__(
        self,
        channels: Setting,
        image_size: Size,
        base_channels: Setting = 64,
        dropout: Share = 0.5,
        norm: str = "batch",
        residual: bool = False,
        levels: Annotated[int, At(2, 14)] | None = None,
        upsample: Upsample = "transposed",
    ) -> None:
        super().__init__()
        levels = levels_of_unet(image_size) if levels is None else levels
        widths = [base_channels * min(2**level, WIDEST) for level in range(levels)]
        normalise = find_norm(norm)
        self.stride, self.residual = 2**levels, residual
        # one pixel is left at the bottom where the sides are one stride: there is no norm at the bottom
        self.least = 1 if min(as_size(image_size)) <= self.stride else 2
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for level, outputs in enumerate(widths):
            plain = level in (0, levels - 1)  # at the picture, and at the bottom where few pixels are left
            self.down.append(halving(widths[level - 1] if level else channels, outputs, normalise, level > 0, plain))
        inputs = widths[-1]
        for level, outputs in reversed(list(enumerate(widths[:-1]))):
            noise = dropout if levels - 2 - level < NOISY else 0.0
            self.up.append(way_back(inputs, outputs, normalise, noise, upsample))
            inputs = 2 * outputs  # beside the bridge
        self.last = nn.Sequential(nn.ReLU(), doubling(inputs, channels, True, upsample, kernel=4), nn.Tanh())
        init_normal_(self)
        normalise.bound_(self)

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W) images in [-1, 1], any H and W."""
        features = padded(images, self.stride, self.least)
        bridges: list[Tensor] = []
        for down in self.down:
            features = down(features)
            bridges.append(features)
        bridges.pop()
        for up in self.up:
            features = torch.cat([up(features), bridges.pop()], dim=1)
        drawn = cut_back(self.last(features), images)
        return (images + drawn).clamp(-1, 1) if self.residual else drawn


def halving(inputs: int, outputs: int, normalise: Norm, active: bool, plain: bool) -> nn.Sequential:
    layers: list[nn.Module] = [nn.LeakyReLU(0.2)] if active else []  # not in place: the bridge needs what came in
    layers.append(nn.Conv2d(inputs, outputs, 4, 2, 1, bias=plain or normalise.bias))
    return nn.Sequential(*layers, *([] if plain else [normalise.layer(outputs)]))


def way_back(inputs: int, outputs: int, normalise: Norm, dropout: float, upsample: str) -> nn.Sequential:
    return nn.Sequential(
        nn.ReLU(),
        doubling(inputs, outputs, normalise.bias, upsample, kernel=4),
        normalise.layer(outputs),
        *([nn.Dropout(dropout)] if dropout else []),
    )
