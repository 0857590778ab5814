"""Colour: brightness, saturation and contrast of each image (Zhao et al., 2020)."""

from __future__ import annotations

from torch import Tensor

from ganrun.augmentations.augmentation import Augmentation, at_least_0, between
from ganrun.common.bounds import Weight


class Colour(Augmentation):
    """Random brightness, saturation and contrast, in this order; each image has its own random numbers.

    brightness: x + U(±brightness). saturation: the difference between a pixel and its grey value (the mean over the
    channels) is multiplied by U(1 ± saturation). contrast: the difference between a pixel and the mean of the image is
    multiplied by U(1 ± contrast). Saturation does not change a grey image. Raises ValueError for a negative strength.
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
