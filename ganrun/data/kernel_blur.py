"""Kernel blur: each picture is filtered with a random kernel of its own, in one batched operation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor

from ganrun.common.bounds import At, Share
from ganrun.data.blur_kernels import Kernel
from ganrun.data.chains import choices, probabilities
from ganrun.data.damage import Damage

LARGEST = 127  # pixels of a kernel's side
Side = Annotated[int, At(1, LARGEST)]
Sides = Annotated[Sequence[Side], "[low, high], odd numbers from 1 to 127"]
# The time of a Fourier transform does not depend on the kernel. A CPU convolves quickly with a small kernel and when
# there are enough planes to fill its vectors (measured from 64 to 256 pixels).
DIRECT, PLANES = 17, 8


class KernelBlur(Damage):
    """Filters with a kernel that is drawn for each picture from one of `kernels`.

    shares: the probability of each, which are divided by their sum. size: the range of the kernel's side in pixels, odd
    numbers with equal probability; the kernel is 0 outside. Beyond the border, the pixels at the edge are repeated.
    Raises ValueError for shares that do not fit the kernels, and for sizes that are even or out of order.
    """

    def __init__(self, kernels: Mapping[str, Kernel], shares: Mapping[str, Share], size: Sides = (7, 21)) -> None:
        super().__init__()
        ends = tuple(size)
        if len(ends) != 2 or not 1 <= ends[0] <= ends[1] <= LARGEST or not all(end % 2 for end in ends):
            raise ValueError(f"size={list(ends)} must be [low, high], two odd numbers from 1 to {LARGEST}")
        self.reaches = ends[0] // 2, ends[1] // 2
        self.kernels, self.shares = list(kernels.values()), probabilities(shares, kernels)

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) images in [-1, 1] -> (N, C, H, W) filtered images, clipped to [-1, 1]."""
        return filtered(images, self.draw(len(images)).to(images.device)).clamp(-1, 1)

    def draw(self, count: int) -> Tensor:
        """(count, K, K) float32 on the CPU: the sum of each is 1; the smaller ones have a border of zeros."""
        low, high = self.reaches
        reaches = torch.randint(low, high + 1, (count,))
        choice = choices(self.shares, count)
        reach = int(reaches.max())
        found = torch.empty(count, 2 * reach + 1, 2 * reach + 1)
        for number, kernel in enumerate(self.kernels):
            if len(places := (choice == number).nonzero().flatten()):
                found[places] = kernel.draw(len(places), reach)
        steps = torch.arange(-reach, reach + 1).abs()
        inside = steps <= reaches[:, None]  # (count, K)
        found *= inside[:, :, None] & inside[:, None, :]
        return found / found.sum((1, 2), keepdim=True)


def filtered(images: Tensor, kernels: Tensor) -> Tensor:
    """(N, C, H, W) images, (N, K, K) kernels -> (N, C, H, W) float32: each image correlated with its own kernel."""
    reach = kernels.shape[1] // 2
    padded = F.pad(images.float(), [reach] * 4, "replicate")
    quick = kernels.shape[1] <= DIRECT and images.shape[0] * images.shape[1] >= PLANES
    direct = quick or images.device.type != "cpu"
    return (by_convolution if direct else by_fourier)(padded, kernels)


def by_convolution(padded: Tensor, kernels: Tensor) -> Tensor:
    """(N, C, H + K - 1, W + K - 1), (N, K, K) -> (N, C, H, W): all N·C planes are the channels of one image."""
    count, channels, height, width = padded.shape
    weights = kernels.repeat_interleave(channels, 0)[:, None]
    planes = F.conv2d(padded.reshape(1, count * channels, height, width), weights, groups=count * channels)
    return planes.reshape(count, channels, *planes.shape[2:])


def by_fourier(padded: Tensor, kernels: Tensor) -> Tensor:
    """The same: a correlation is a product with the conjugate spectrum. Its time does not depend on the kernel."""
    border = kernels.shape[1] - 1
    height, width = padded.shape[2] - border, padded.shape[3] - border
    sides = fast_length(padded.shape[2]), fast_length(padded.shape[3])
    spectrum = torch.fft.rfft2(padded, s=sides) * torch.fft.rfft2(kernels, s=sides).conj()[:, None]
    return torch.fft.irfft2(spectrum, s=sides)[:, :, :height, :width]


@lru_cache(maxsize=4096)
def fast_length(least: int) -> int:
    """The smallest number from `least` on without a prime factor above 5: a transform of 283 pixels is slow."""
    length = least
    while True:
        rest = length
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return length
        length += 1
