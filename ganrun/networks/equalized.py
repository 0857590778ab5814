"""Layers with an equalized learning rate: weights ~ N(0, 1), scaled when used (Karras et al., 2018, section 4.1)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SLOPE = 0.2
GAIN = math.sqrt(2)  # of a layer before LeakyReLU, which halves the power of what it gets (He et al., 2015)
TINY = 1e-8  # keeps a root's gradient finite at 0


def normalized(vectors: Tensor) -> Tensor:
    """(N, Z) -> (N, Z), each with a mean square of 1."""
    return vectors * (vectors.square().mean(1, keepdim=True) + TINY).rsqrt()


def linear(vectors: Tensor, weight: Tensor, bias: Tensor | None, training: bool) -> Tensor:
    """(N, inputs) -> (N, outputs), outside of training the same numbers for a vector whatever N is.

    The order in which a matrix product adds depends on N, so one in float32 differs in its last digits, and what styles
    steer then differs by whole grey levels. A product in float64 that is rounded to float32 does not.
    """
    if training or vectors.dtype == torch.double or vectors.device.type == "mps":  # which has no float64
        return F.linear(vectors, weight, bias)
    exact = F.linear(vectors.double(), weight.double(), None if bias is None else bias.double())
    return exact.to(vectors.dtype)


class EqualLinear(nn.Linear):
    """y = (c r W) x + r b, c = gain / √inputs, W ~ N(0, 1 / r²). A `rate` r below 1 makes W and b learn more slowly."""

    couples_images = False

    def __init__(self, inputs: int, outputs: int, gain: float = 1.0, bias: float = 0.0, rate: float = 1.0) -> None:
        super().__init__(inputs, outputs)
        nn.init.normal_(self.weight, 0.0, 1 / rate)
        nn.init.constant_(self.bias, bias / rate)
        self.scale, self.rate = gain * rate / math.sqrt(inputs), rate

    def forward(self, vectors: Tensor) -> Tensor:
        """(N, inputs) -> (N, outputs)"""
        return linear(vectors, self.weight * self.scale, self.bias * self.rate, self.training)


class LabelVector(EqualLinear):
    """A normalized vector for each class: an `EqualLinear` layer of the one-hot label, looked up."""

    def forward(self, labels: Tensor) -> Tensor:
        """(N,) -> (N, outputs)"""
        return normalized(F.embedding(labels, self.weight.t() * self.scale) + self.bias)


class EqualConv2d(nn.Conv2d):
    """A convolution by c W, c = gain / √(inputs · kernel²). With stride 1 it keeps the size, else it pads nothing."""

    couples_images = False

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int = 1, gain: float = 1.0, bias: bool = True
    ) -> None:
        super().__init__(inputs, outputs, kernel, stride, kernel // 2 if stride == 1 else 0, bias=bias)
        nn.init.normal_(self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)
        self.scale = gain / math.sqrt(inputs * kernel**2)

    def forward(self, images: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, H', W')"""
        return self._conv_forward(images, self.weight * self.scale, self.bias)


def leaky_conv(inputs: int, outputs: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    """A convolution and its LeakyReLU, which keep a variance of 1."""
    return [EqualConv2d(inputs, outputs, kernel, stride, GAIN), nn.LeakyReLU(SLOPE, inplace=True)]


def leaky_linear(inputs: int, outputs: int, rate: float = 1.0) -> list[nn.Module]:
    """A dense layer and its LeakyReLU, which keep a variance of 1."""
    return [EqualLinear(inputs, outputs, GAIN, rate=rate), nn.LeakyReLU(SLOPE, inplace=True)]


def leaky_linears(inputs: int, size: int, count: int, rate: float) -> nn.Sequential:
    """`count` dense layers of `size`, each with its LeakyReLU."""
    layers = [leaky_linear(size if number else inputs, size, rate) for number in range(count)]
    return nn.Sequential(*(one for pair in layers for one in pair))


def root_half(one: Tensor, other: Tensor) -> Tensor:
    """(one + other) / √2: the sum of two paths of variance 1 has variance 1."""
    return torch.add(one, other) * (1 / math.sqrt(2))
