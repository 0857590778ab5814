"""Affine resampling without aliasing, differentiable twice: double, look up, filter, halve (ADA, appendix B)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ganrun.augmentations.pixels import between_pixels

# the orthogonal low-pass filter of the symlet with six vanishing moments (Daubechies, 1992, table 6.3)
SYM6 = (
    0.015404109327027373, 0.0034907120842174702, -0.11799011114819057, -0.048311742585633, 0.4910559419267466,
    0.787641141030194, 0.3379294217276218, -0.07263752278646252, -0.021060292512300564, 0.04472490177066578,
    0.0017677118642428036, -0.007800708325034148,
)  # fmt: skip
BEFORE = 5  # taps of the doubled image that lie before the pixel they belong to
MARGIN = 6  # pixels of mirror around an image: half of the taps


def resample(images: Tensor, maps: Tensor, taps: Tensor) -> Tensor:
    """(N, C, H, W) float32, (N, 3, 3) from places in the result to places in the image, SYM6 -> (N, C, H, W).

    Places are pixels from the middle of the image. Outside of the image is its mirror. The identity changes nothing:
    the filter is orthogonal, so that doubling and halving cancel.
    """
    height, width = images.shape[2:]
    doubled, edge = double(images, taps), 2 * MARGIN - BEFORE
    # twice the result, and as many pixels around it as halving needs
    y = torch.arange(-BEFORE, 2 * height + len(SYM6) - 2 - BEFORE, device=images.device).float()
    x = torch.arange(-BEFORE, 2 * width + len(SYM6) - 2 - BEFORE, device=images.device).float()
    x, y = (x + 0.5) / 2 - width / 2, (y + 0.5) / 2 - height / 2

    def place(row: Tensor) -> Tensor:
        """(N, 3) a row of the maps -> (N, 2H + 10, 2W + 10)"""
        return row[:, 0, None, None] * x + row[:, 1, None, None] * y[:, None] + row[:, 2, None, None]

    rows = 2 * (place(maps[:, 1]) + height / 2) - 0.5
    columns = 2 * (place(maps[:, 0]) + width / 2) - 0.5
    rows, columns = mirrored(rows, 2 * height, edge), mirrored(columns, 2 * width, edge)
    return halve(between_pixels(doubled, rows + edge, columns + edge), taps)


def double(images: Tensor, taps: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, C, 2H + 14, 2W + 14): the doubled image with 7 pixels of its mirror around it."""
    down, across = (doubling(side, taps).to(images.dtype) for side in images.shape[2:])
    return down @ images @ across.T


def halve(images: Tensor, taps: Tensor) -> Tensor:
    """(N, C, 2H + 10, 2W + 10) -> (N, C, H, W)"""
    down, across = (halving(side, taps).to(images.dtype) for side in images.shape[2:])
    return down @ images @ across.T


def doubling(side: int, taps: Tensor) -> Tensor:
    """(2 side + 14, side): a matrix, since on a CPU a product is faster than a filter of one channel.

    It is so at small sizes (10× at 32 pixels, 2× at 256).
    """
    around = fold(torch.arange(-MARGIN, side + MARGIN, device=taps.device), side)
    mirror = torch.eye(side, device=taps.device)[around]  # (side + 12, side)
    # each of the two phases of a doubled pixel sums to 1
    wide = F.conv_transpose1d(mirror.T[:, None], taps[None, None] * 2**0.5, stride=2)[:, 0].T
    cut = 2 * BEFORE  # of a full convolution: first the taps before the image, then the margin that is not complete
    return wide[cut : len(wide) - cut]


def halving(side: int, taps: Tensor) -> Tensor:
    """((side - 10) / 2, side)"""
    return F.conv1d(torch.eye(side, device=taps.device)[:, None], taps[None, None] / 2**0.5, stride=2)[:, 0].T


def fold(places: Tensor, side: int) -> Tensor:
    """Integer places -> 0 … side − 1: −1 is 0 again, side is side − 1 again, and so on."""
    folded = places.remainder(2 * side)
    return torch.where(folded < side, folded, 2 * side - 1 - folded)


def mirrored(places: Tensor, side: int, edge: int) -> Tensor:
    """Places between pixels -> the same within `edge` pixels around the image, their mirror beyond."""
    folded = (places + 0.5).remainder(2 * side)
    folded = torch.where(folded < side, folded, 2 * side - folded) - 0.5
    near = (places >= -edge) & (places <= side - 1 + edge)
    return torch.where(near, places, folded)
