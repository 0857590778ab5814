"""Cutout: a rectangle of each image set to 0 (DeVries and Taylor, 2017; Zhao et al., 2020)."""

from __future__ import annotations

import torch
from torch import Tensor

from ganrun.augmentations.augmentation import Augmentation, at_most_1
from ganrun.augmentations.pixels import places
from ganrun.common.bounds import Share


class Cutout(Augmentation):
    """Sides of `fraction` of the image's, centred anywhere in it. Raises ValueError when it is not in [0, 1]."""

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
        """(H, 1) or (1, W) places -> (N, H, 1) or (N, 1, W) which of them the hole covers."""
        size = int(side * self.fraction + 0.5)
        first = torch.randint(side + 1 - size % 2, (len(images), 1, 1), device=images.device) - size // 2
        return (places >= first) & (places < first + size)
