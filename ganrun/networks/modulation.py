"""Modulated convolution: each image scales the input channels by its style (Karras et al., 2020, section 2.2)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganrun.networks.equalized import TINY, EqualLinear, linear
from ganrun.networks.resampling import Filter


class ModulatedConv2d(nn.Module):
    """w'_ijk = s_i w_ijk (equation 1), w''_ijk = w'_ijk / √(Σ_ik w'_ijk² + ε) (equation 3); s is affine in the style.

    One convolution with shared weights serves all images: s_i scales input channel i before it, and demodulation scales
    output channel j after it. The numbers are those of a convolution with weights of each image's own, in half of its
    time on a CPU. `doubles`: the output has twice the sides, by a transposed convolution and the filter [1, 3, 3, 1].
    `gain` scales what is demodulated.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        style_size: int,
        demodulates: bool = True,
        doubles: bool = False,
        gain: float = 1.0,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.affine = EqualLinear(style_size, inputs, bias=1.0)
        self.scale = 1 / math.sqrt(inputs * kernel**2)
        self.padding, self.demodulates, self.gain = kernel // 2, demodulates, gain
        self.filter = Filter(padding=1, gain=4) if doubles else None  # of 4 pixels of the doubled grid, 3 were 0

    def forward(self, features: Tensor, style: Tensor) -> Tensor:
        """(N, inputs, H, W), (N, style_size) -> (N, outputs, H, W), or (N, outputs, 2·H, 2·W)."""
        weight, s = self.weight * self.scale, self.affine(style)
        modulated = features * s[:, :, None, None]
        if self.filter is not None:
            output = self.filter(F.conv_transpose2d(modulated, weight.transpose(0, 1), stride=2))
        else:
            output = F.conv2d(modulated, weight, padding=self.padding)
        if not self.demodulates:
            return output
        return output * (self.gain * demodulation(weight, s, self.training))[:, :, None, None]


def demodulation(weight: Tensor, s: Tensor, training: bool) -> Tensor:
    """(outputs, inputs, k, k) weights, (N, inputs) styles -> (N, outputs) 1 / √(Σ_ik s_i² w_ijk² + ε)."""
    return (linear(s.square(), weight.square().sum((2, 3)), None, training) + TINY).rsqrt()
