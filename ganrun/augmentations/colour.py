"""Colour: brightness, saturation and contrast of each image (Zhao et al., 2020)."""

from __future__ import annotations

from torch import Tensor

from ganrun.augmentations.augmentation import Augmentation, at_least_0, between
from ganrun.common.bounds import Weight


class Colour(Augmentation):
    """x + U(±brightness); then the distance to the pixel's grey times U(1 ± saturation); to the mean, U(1 ± contrast).

    A grey image has no saturation to change. Raises ValueError for a negative strength.
    """

    def __init__(self, brightness: Weight = 0.5, saturation: Weight = 1.0, contrast: Weight = 0.5) -> None:
        super().__init__()
        at_least_0(brightness=brightness, saturation=saturation, contrast=contrast)
        self.brightness, self.saturation, self.contrast = brightness, saturation, contrast

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)"""
        if self.brightness:
            images = images + between(-self.brightness, self.brightness, images)
        if self.saturation:
            grey = images.mean(1, keepdim=True)
            images = grey + (images - grey) * between(1 - self.saturation, 1 + self.saturation, images)
        if self.contrast:
            mean = images.mean((1, 2, 3), keepdim=True)
            images = mean + (images - mean) * between(1 - self.contrast, 1 + self.contrast, images)
        return images
