"""PatchGAN: a discriminator that judges each patch of a picture by itself (Isola et al., 2017)."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from ganrun.common.bounds import Setting, Whole
from ganrun.networks.norms import find_norm
from ganrun.networks.sizes import Size, as_size


class PatchDiscriminator(nn.Module):
    """4×4 convolutions, all without dense layers: one to three halvings, then two of stride 1.

    Three halvings from 256 px on see patches of 70×70, the paper's; two from 128 px on 34×34; one below 16×16.
    `condition_channels` are those of the picture that is laid beside the one to be judged. `norm` names one of
    `ganrun.networks.norms.NORMS`. Raises ValueError for a side below 8.
    """

    def __init__(
        self,
        channels: Setting,
        image_size: Size,
        base_channels: Setting = 64,
        norm: str = "batch",
        condition_channels: Whole = 0,
    ) -> None:
        super().__init__()
        halvings = halvings_for(image_size)
        normalise = find_norm(norm)
        widths = [base_channels << k for k in range(halvings + 1)]
        layers: list[nn.Module] = [
            nn.Conv2d(channels + condition_channels, widths[0], 4, 2, 1),
            nn.LeakyReLU(0.2, inplace=True),
        ]
        for level, (inputs, outputs) in enumerate(pairwise(widths), 1):
            layers += [
                nn.Conv2d(inputs, outputs, 4, 2 if level < halvings else 1, 1, bias=normalise.bias),
                normalise.layer(outputs),
                nn.LeakyReLU(0.2, inplace=True),
            ]
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 4, 1, 1))
        normalise.init_(self)
        normalise.bound_(self)

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) images, beside their condition where there is one -> (N, 1, h, w) a logit for each patch."""
        return self.layers(images)


def halvings_for(image_size: Size) -> int:
    short = min(as_size(image_size))
    if short < 8:
        raise ValueError(f"image_size={image_size}: PatchDiscriminator needs sides of at least 8 pixels")
    return min(3, max(1, short.bit_length() - 6))
