"""Upsampling: the ways in which a translator doubles the sides of its features."""

from __future__ import annotations

from typing import Literal

from torch import nn

from ganrun.networks.doubling import DoublingConv2d

Upsample = Literal["transposed", "resize"]


def doubling(inputs: int, outputs: int, bias: bool, upsample: str, kernel: int = 3) -> nn.Module:
    """(N, inputs, H, W) -> (N, outputs, 2H, 2W).

    transposed: a transposed convolution of stride 2 with a `kernel` of 3 or 4 pixels. resize: nearest-neighbour
    upsampling, then a 3×3 convolution. Every output pixel then adds up equally many products, so that no checkerboard
    is drawn from the first step on (Odena et al., 2016). Raises ValueError with the names there are.
    """
    if upsample == "resize":
        return DoublingConv2d(inputs, outputs, bias)
    if upsample != "transposed":
        raise ValueError(f"upsample={upsample!r} is none of: transposed, resize")
    return nn.ConvTranspose2d(inputs, outputs, kernel, 2, 1, output_padding=kernel % 2, bias=bias)
