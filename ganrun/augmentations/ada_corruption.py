"""ADA's image-space corruptions: noise and cutout (Karras et al., 2020, appendix B)."""

from __future__ import annotations

import torch
from torch import Tensor

from ganrun.augmentations.chance import Chances, normal
from ganrun.augmentations.cutout import Cutout
from ganrun.common.bounds import Share

NOISE = 0.1  # standard deviation of the noise's standard deviation; images are in [-1, 1]
HOLE = 0.5  # of the sides


class AdaCorruption(Chances):
    """Gaussian noise, σ = |N(0, 0.1²)| for each image; a rectangle of half the sides set to 0."""

    def __init__(self, noise: Share = 0.0, cutout: Share = 0.0) -> None:
        super().__init__(noise=noise, cutout=cutout)
        self.cut = Cutout(HOLE)

    def forward(self, images: Tensor, p: Tensor) -> Tensor:
        """(N, C, H, W), () p -> (N, C, H, W)"""
        count = len(images)
        if self.on("noise"):
            sigma = normal(count, NOISE, p).abs() * self.chosen("noise", p, count)
            images = images + sigma[:, None, None, None].to(images.dtype) * torch.randn_like(images)
        if self.on("cutout"):
            chosen = self.chosen("cutout", p, count)[:, None, None, None]
            images = torch.where(chosen, self.cut(images), images)
        return images
