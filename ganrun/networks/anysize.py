"""Any size: pictures are padded to what a network can halve, and what it makes of them is cut back."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def padded(images: Tensor, stride: int, least: int = 2) -> Tensor:
    """(N, C, H, W) -> (N, C, H', W'), sides the next multiple of `stride` and at least `least` strides.

    Two by default, because a norm of a single pixel has nothing to normalise. The padding mirrors the picture below
    and to the right. It repeats the last row and column where the picture is too small for a mirror.
    """
    height, width = images.shape[2:]
    below, right = missing(height, stride, least), missing(width, stride, least)
    if not below and not right:
        return images
    mode = "reflect" if below < height and right < width else "replicate"
    return F.pad(images, (0, right, 0, below), mode=mode)


def missing(side: int, stride: int, least: int = 2) -> int:
    """5 pixels at stride 4 -> 3."""
    return max(least, -(-side // stride)) * stride - side


def cut_back(images: Tensor, like: Tensor) -> Tensor:
    """(N, C, H', W') -> (N, C, H, W), the size of `like`."""
    return images[:, :, : like.shape[2], : like.shape[3]]
