"""Any size: pictures are padded to what a network can halve, and what it makes of them is cut back."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def padded(images: Tensor, stride: int) -> Tensor:
    """(N, C, H, W) -> (N, C, H', W'), sides the next multiple of `stride` and at least two of them.

    Two, because a norm of a single pixel is no norm. The picture goes on as its mirror below and to the right, or
    as its last row and column where it is too small for that.
    """
    height, width = images.shape[2:]
    below, right = missing(height, stride), missing(width, stride)
    if not below and not right:
        return images
    mode = "reflect" if below < height and right < width else "replicate"
    return F.pad(images, (0, right, 0, below), mode=mode)


def missing(side: int, stride: int) -> int:
    """5 pixels at stride 4 -> 3."""
    return max(2, -(-side // stride)) * stride - side


def cut_back(images: Tensor, like: Tensor) -> Tensor:
    """(N, C, H', W') -> (N, C, H, W), the size of `like`."""
    return images[:, :, : like.shape[2], : like.shape[3]]
