"""Augmentation: what a discriminator's pictures go through, reals and fakes alike."""

from __future__ import annotations

from torch import Tensor, nn


class Augmentation(nn.Module):
    """A random transform that gradients flow through, twice where a penalty asks for it; strength 0 changes nothing.

    It draws from torch's random state and reads no tensor, so that it repeats with the seed and the step and no step
    waits for the device.
    """

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) images in [-1, 1] -> (N, C, H, W), each changed in its own way."""
        raise NotImplementedError

    def observe(self, real_logits: Tensor) -> None:
        """Called in each of the discriminator's turns with its (N,) logits of augmented reals, for adaptive state."""

    def after_turn(self) -> None:
        """Called once the discriminator has moved: adaptive state."""


def between(low: float, high: float, images: Tensor) -> Tensor:
    """(N, 1, 1, 1) one uniform number for each image."""
    return low + (high - low) * images.new_empty(len(images), 1, 1, 1).uniform_()


def at_least_0(**strengths: float) -> None:
    """Raises ValueError for a negative strength, by its name."""
    for name, strength in strengths.items():
        if strength < 0:
            raise ValueError(f"{name}={strength}: a transform's strength is 0 or more")


def at_most_1(**strengths: float) -> None:
    """Raises ValueError for a strength that is no share, by its name."""
    for name, strength in strengths.items():
        if not 0 <= strength <= 1:
            raise ValueError(f"{name}={strength}: use 0 to 1")
