"""Translation: each image is moved by whole pixels. Pixels from outside of the image are 0 (Zhao et al., 2020)."""

from __future__ import annotations

import torch
from torch import Tensor

from ganrun.augmentations.augmentation import Augmentation, at_most_1
from ganrun.augmentations.pixels import look_up, places
from ganrun.common.bounds import Share


class Translation(Augmentation):
    """Moves each image at random, vertically and horizontally.

    fraction: the largest shift in either direction, as a share of the image's side.
    Raises ValueError when `fraction` is not in [0, 1].
    """

    def __init__(self, fraction: Share = 0.125) -> None:
        super().__init__()
        at_most_1(fraction=fraction)
        self.fraction = fraction

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)"""
        if not self.fraction:
            return images
        rows, columns = places(images)
        height, width = images.shape[2:]
        ys = rows + self.shifts(height, images)
        xs = columns + self.shifts(width, images)
        return look_up(images, *torch.broadcast_tensors(ys, xs))

    def shifts(self, side: int, images: Tensor) -> Tensor:
        """(N, 1, 1) int64: a random shift in pixels for each image. side: the image's height or width in pixels."""
        most = int(side * self.fraction + 0.5)
        return torch.randint(-most, most + 1, (len(images), 1, 1), device=images.device)
