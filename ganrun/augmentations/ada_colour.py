"""ADA's colour transforms: one matrix for each image (Karras et al., 2020, appendix B)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ganrun.augmentations.chance import Chances, at_least_float32, normal, uniform
from ganrun.common.bounds import Share

BRIGHTNESS = 0.2  # standard deviation of what is added; images are in [-1, 1]
CONTRAST = 0.5  # standard deviation of log2 of the factor
SATURATION = 1.0  # the same


class AdaColour(Chances):
    """Brightness, contrast, luma flip, hue rotation and saturation.

    The luma axis v is (1, …, 1)/√C. A grey image has no hue and no saturation; hue is turned in three channels only.
    """

    cross: Tensor  # (3, 3) [v]ₓ: x ↦ v × x

    def __init__(
        self,
        brightness: Share = 1.0,
        contrast: Share = 1.0,
        luma_flip: Share = 1.0,
        hue: Share = 1.0,
        saturation: Share = 1.0,
    ) -> None:
        super().__init__(brightness=brightness, contrast=contrast, luma_flip=luma_flip, hue=hue, saturation=saturation)
        v = 1 / math.sqrt(3)
        self.register_buffer("cross", torch.tensor([[0, -v, v], [v, 0, -v], [-v, v, 0]]), persistent=False)

    def forward(self, images: Tensor, p: Tensor) -> Tensor:
        """(N, C, H, W), () p -> (N, C, H, W)"""
        if not self.on(*self.strengths):
            return images
        matrix, offset = self.matrices(len(images), images.shape[1], p)
        pixels = at_least_float32(images).flatten(2)
        changed = matrix.to(pixels.dtype) @ pixels + offset[:, :, None]
        return changed.view(images.shape).to(images.dtype)

    def matrices(self, count: int, channels: int, p: Tensor) -> tuple[Tensor, Tensor]:
        """(N, C, C) factors and (N, C) summands. Transforms come in the paper's order."""
        one, zero = torch.ones(count, device=p.device), torch.zeros(count, device=p.device)
        identity = torch.eye(channels, device=p.device)
        luma = torch.full((channels, channels), 1 / channels, device=p.device)  # v vᵀ
        added = torch.where(self.chosen("brightness", p, count), normal(count, BRIGHTNESS, p), zero)
        contrast = torch.where(self.chosen("contrast", p, count), normal(count, CONTRAST, p).exp2(), one)
        offset = (contrast * added)[:, None].expand(-1, channels)
        matrix = contrast[:, None, None] * identity
        # half of the chosen images are flipped: the transform draws i from {0, 1}
        flip = self.chosen("luma_flip", p, count) & (torch.rand(count, device=p.device) < 0.5)
        rows = [identity - 2 * luma * flip[:, None, None]]
        if channels == 3:
            angle = torch.where(self.chosen("hue", p, count), uniform(count, -math.pi, math.pi, p), zero)
            rows.append(turned_about_grey(angle, self.cross))
        if channels > 1:
            factor = torch.where(self.chosen("saturation", p, count), normal(count, SATURATION, p).exp2(), one)
            rows.append(luma + (identity - luma) * factor[:, None, None])
        for row in rows:
            matrix, offset = row @ matrix, (row @ offset[:, :, None])[:, :, 0]
        return matrix, offset


def turned_about_grey(angle: Tensor, cross: Tensor) -> Tensor:
    """(N,) radians, [v]ₓ -> (N, 3, 3) rotations about v = (1, 1, 1)/√3: cos I + sin [v]ₓ + (1 − cos) v vᵀ."""
    sine, cosine = angle.sin()[:, None, None], angle.cos()[:, None, None]
    return cosine * torch.eye(3, device=angle.device) + sine * cross + (1 - cosine) / 3
