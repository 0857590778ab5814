"""Augmentation: the base class of random transforms that are applied to the discriminator's reals and fakes."""

from __future__ import annotations

from torch import Tensor, nn


class Augmentation(nn.Module):
    """A random transform of images. With strength 0 it changes nothing.

    It is differentiable twice, because a gradient penalty differentiates the discriminator's gradient.
    It takes its random numbers from torch, so the same seed and step give the same transforms.
    It reads no tensor on the CPU, so no step waits for the device.
    """

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) images in [-1, 1] -> (N, C, H, W), each image with its own random transform."""
        raise NotImplementedError

    def observe(self, real_logits: Tensor) -> None:
        """Called in each of the discriminator's turns with its logits of N augmented reals, for adaptive state.

        They are (N,), or (N, ...) maps of logits. The images of a pack share theirs.
        """

    def after_turn(self) -> None:
        """Called after each optimizer step of the discriminator: an adaptive augmentation updates its state here."""


def between(low: float, high: float, images: Tensor) -> Tensor:
    """(N, 1, 1, 1): one uniform random number from `low` to `high` for each image, with the images' type and device."""
    return low + (high - low) * images.new_empty(len(images), 1, 1, 1).uniform_()


def at_least_0(**strengths: float) -> None:
    """Raises ValueError, which names the setting, when a strength is negative."""
    for name, strength in strengths.items():
        if strength < 0:
            raise ValueError(f"{name}={strength}: the strength of a transform must be 0 or more")


def at_most_1(**strengths: float) -> None:
    """Raises ValueError, which names the setting, when a strength is not in [0, 1]."""
    for name, strength in strengths.items():
        if not 0 <= strength <= 1:
            raise ValueError(f"{name}={strength}: use 0 to 1")
