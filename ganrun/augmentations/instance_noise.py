"""Instance noise: Gaussian noise, which may fade, on all images of the discriminator (Sønderby et al., 2017)."""

from __future__ import annotations

import torch
from torch import Tensor

from ganrun.augmentations.augmentation import Augmentation, at_least_0
from ganrun.common.bounds import Natural, Weight


class InstanceNoise(Augmentation):
    """x + N(0, sigma²), for images x in [-1, 1].

    turns: sigma falls linearly to 0 over this number of discriminator turns; with turns=0 sigma is constant.
    Checkpoints contain the number of turns so far. Raises ValueError when `sigma` or `turns` is negative.
    """

    taken: Tensor  # () turns of the discriminator so far

    def __init__(self, sigma: Weight = 0.1, turns: Natural = 0) -> None:
        super().__init__()
        at_least_0(sigma=sigma, turns=turns)
        self.sigma, self.turns = sigma, turns
        self.register_buffer("taken", torch.zeros(()))

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)"""
        if not self.sigma:
            return images
        left = (1 - self.taken / self.turns).clamp(min=0) if self.turns else 1.0
        return images + self.sigma * left * torch.randn_like(images)

    def after_turn(self) -> None:
        self.taken += 1
