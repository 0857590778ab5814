"""Affine: each image mirrored, turned and scaled about its middle, 0 where nothing was."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ganrun.augmentations.augmentation import Augmentation, at_least_0, at_most_1, between
from ganrun.augmentations.pixels import interpolate, places
from ganrun.common.bounds import Decay, Share, Weight


class Affine(Augmentation):
    """Left and right exchanged with probability `flip`, turned by U(±rotate) degrees, enlarged U(1 ± scale) times.

    Bilinear between pixels. Raises ValueError when `flip` is not in [0, 1], `rotate` negative, `scale` not in [0, 1).
    """

    def __init__(self, flip: Share = 0.0, rotate: Weight = 0.0, scale: Decay = 0.0) -> None:
        super().__init__()
        at_most_1(flip=flip)
        at_least_0(rotate=rotate, scale=scale)
        if scale >= 1:
            raise ValueError(f"scale={scale}: sizes are drawn from 1 - scale to 1 + scale, so use less than 1")
        self.flip, self.rotate, self.scale = flip, rotate, scale

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)"""
        if self.flip:
            images = torch.where(between(0, 1, images) < self.flip, images.flip(3), images)
        return self.turned(images) if self.rotate or self.scale else images

    def turned(self, images: Tensor) -> Tensor:
        """Every pixel of the result asks where it came from: places are (N, H, W), measured from the middle."""
        rows, columns = places(images)
        middle_y, middle_x = ((side - 1) / 2 for side in images.shape[2:])
        y, x = rows - middle_y, columns - middle_x
        # float32 whatever the images are: bfloat16 cannot tell neighbouring pixels of a wide image apart
        angle = between(-self.rotate, self.rotate, images.float())[:, 0] * (math.pi / 180)
        size = between(1 - self.scale, 1 + self.scale, images.float())[:, 0]
        cosine, sine = angle.cos() / size, angle.sin() / size
        return interpolate(images, cosine * y - sine * x + middle_y, sine * y + cosine * x + middle_x).to(images.dtype)
