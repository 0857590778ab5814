"""Affine: each image is mirrored, rotated and scaled about its centre. Pixels from outside of the image are 0."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ganrun.augmentations.augmentation import Augmentation, at_least_0, at_most_1, between
from ganrun.augmentations.pixels import interpolate, places
from ganrun.common.bounds import Decay, Share, Weight


class Affine(Augmentation):
    """A random mirroring, rotation and scaling of each image, with bilinear interpolation.

    flip: the probability of exchanging left and right. rotate: the angle is uniform in ±rotate degrees.
    scale: the factor of enlargement is uniform in 1 ± scale.
    Raises ValueError when `flip` is not in [0, 1], `rotate` is negative, or `scale` is not in [0, 1).
    """

    def __init__(self, flip: Share = 0.0, rotate: Weight = 0.0, scale: Decay = 0.0) -> None:
        super().__init__()
        at_most_1(flip=flip)
        at_least_0(rotate=rotate, scale=scale)
        if scale >= 1:
            raise ValueError(f"scale={scale}: the factor is between 1 - scale and 1 + scale, so use less than 1")
        self.flip, self.rotate, self.scale = flip, rotate, scale

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)"""
        if self.flip:
            images = torch.where(between(0, 1, images) < self.flip, images.flip(3), images)
        return self.turned(images) if self.rotate or self.scale else images

    def turned(self, images: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W), rotated and scaled.

        For each pixel of the result, (N, H, W) coordinates tell the place in the input that it comes from: the inverse
        of the rotation and scaling, about the centre.
        """
        rows, columns = places(images)
        middle_y, middle_x = ((side - 1) / 2 for side in images.shape[2:])
        y, x = rows - middle_y, columns - middle_x
        # always float32: in bfloat16, neighbouring pixels of a wide image would have the same coordinates
        angle = between(-self.rotate, self.rotate, images.float())[:, 0] * (math.pi / 180)
        size = between(1 - self.scale, 1 + self.scale, images.float())[:, 0]
        cosine, sine = angle.cos() / size, angle.sin() / size
        return interpolate(images, cosine * y - sine * x + middle_y, sine * y + cosine * x + middle_x).to(images.dtype)
