"""Cutout: a random rectangle of each image is set to 0 (DeVries and Taylor, 2017; Zhao et al., 2020)."""

from __future__ import annotations

import torch
from torch import Tensor

from ganrun.augmentations.augmentation import Augmentation, at_most_1
from ganrun.augmentations.pixels import places
from ganrun.common.bounds import Share


class Cutout(Augmentation):
    """Sets a rectangle to 0 whose centre is anywhere in the image.

    fraction: the sides of the rectangle, as a share of the sides of the image.
    Raises ValueError when `fraction` is not in [0, 1].
    """

    def __init__(self, fraction: Share = 0.5) -> None:
        super().__init__()
        at_most_1(fraction=fraction)
        self.fraction = fraction

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)"""
        if not self.fraction:
            return images
        rows, columns = places(images)
        height, width = images.shape[2:]
        hole = self.cut(rows, height, images) & self.cut(columns, width, images)
        return images * ~hole[:, None]

    def cut(self, places: Tensor, side: int, images: Tensor) -> Tensor:
        """(H, 1) rows or (1, W) columns -> (N, H, 1) or (N, 1, W) bool: whether the rectangle covers them.

        side: H or W, in pixels.
        """
        size = int(side * self.fraction + 0.5)
        first = torch.randint(side + 1 - size % 2, (len(images), 1, 1), device=images.device) - size // 2
        return (places >= first) & (places < first + size)
