"""Noises: Gaussian and Poisson noise, in colour or grey (Wang et al., 2021, section 3.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import torch
from torch import Tensor

from ganrun.common.bounds import Share, Weight
from ganrun.data.chains import on_some
from ganrun.data.damage import Damage, check_share, ordered, uniform

Weights = Annotated[Sequence[Weight], "[low, high], numbers from 0 up"]
LUMA = (0.299, 0.587, 0.114)  # BT.601: what of each colour is brightness
MOST = 1e4
DARK = 20.0  # levels of 255


class GaussianNoise(Damage):
    """x + σ z. The result is clipped to [-1, 1].

    sigma: the range of σ, for pixels from 0 to 255. grey: the probability of the same noise in all channels.
    Raises ValueError for a range out of order and for a probability outside of 0 to 1.
    """

    def __init__(self, sigma: Weights = (1.0, 30.0), grey: Share = 0.4) -> None:
        super().__init__()
        check_share("grey", grey)
        self.sigma, self.grey = ordered("sigma", sigma, 0, MOST), grey

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) images in [-1, 1] -> (N, C, H, W) noisy images."""
        sigma, noise = uniform(self.sigma, images) / 127.5, torch.randn_like(images)
        noise = on_some(lambda some: some[:, :1].expand_as(some), noise, torch.rand(len(images)) < self.grey)
        return (images + sigma * noise).clamp(-1, 1)


class PoissonNoise(Damage):
    """x + s (Poisson(x) - x) for a pixel x from 0 to 255: its variance is s² x. The result is clipped to [-1, 1].

    scale: the range of s. grey: the probability of noise that is the same in all channels, from the brightness.
    Raises ValueError for a range out of order and for a probability outside of 0 to 1.
    """

    def __init__(self, scale: Weights = (0.05, 3.0), grey: Share = 0.4) -> None:
        super().__init__()
        check_share("grey", grey)
        self.strength, self.grey = ordered("scale", scale, 0, MOST), grey

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) images in [-1, 1] -> (N, C, H, W) noisy images."""
        strength, grey = uniform(self.strength, images) / 127.5, torch.rand(len(images)) < self.grey
        levels = (images.float() + 1).clamp(min=0) * 127.5
        noise = on_some(lambda some: shot(brightness(some)).expand_as(some), levels, grey)
        noise = on_some(shot, noise, ~grey)
        return (images + strength * noise).clamp(-1, 1)


def shot(levels: Tensor) -> Tensor:
    """Levels from 0 to 255 -> what Poisson noise adds to them; its mean is 0, its variance the level.

    On a CPU, levels from `DARK` on get √λ z + (z² - 1)/6, which has the mean, the skewness and nearly the variance of
    Poisson noise (Cornish and Fisher, 1938): torch.poisson takes seven times as long, a quarter of all damage.
    """
    if levels.device.type != "cpu":
        return torch.poisson(levels) - levels
    z = torch.randn_like(levels)
    noise = levels.sqrt() * z + (z * z - 1) / 6
    dark = levels < DARK
    low = levels[dark]
    noise[dark] = torch.poisson(low) - low
    return noise


def brightness(levels: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, 1, H, W): the luma of colours, the mean of any other channels."""
    if levels.shape[1] != len(LUMA):
        return levels.mean(1, keepdim=True)
    return (levels * torch.tensor(LUMA, device=levels.device)[:, None, None]).sum(1, keepdim=True)
