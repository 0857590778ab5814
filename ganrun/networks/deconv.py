"""Deconvolution generator: 5×5 transposed convolutions from an eighth of the image's size."""

from __future__ import annotations

from torch import Tensor, nn

from ganrun.common.bounds import Setting
from ganrun.networks.init import init_glorot_
from ganrun.networks.sizes import Size, cells


class DeconvGenerator(nn.Module):
    """Dense, BatchNorm, LeakyReLU 0.3; then 256, 128, 64 channels and the image, doubling at the last three.

    For 32×32 images the dense layer has 4·4·512 outputs. `base_channels` is the 64.
    """

    def __init__(self, latent_size: Setting, channels: Setting, image_size: Size, base_channels: Setting = 64) -> None:
        super().__init__()
        height, width = cells(image_size, 8, "DeconvGenerator")
        base, wide, wider, widest = (base_channels << k for k in range(4))
        self.layers = nn.Sequential(
            nn.Linear(latent_size, widest * height * width, bias=False),
            nn.BatchNorm1d(widest * height * width),
            nn.LeakyReLU(0.3, inplace=True),
            nn.Unflatten(1, (widest, height, width)),
            nn.ConvTranspose2d(widest, wider, 5, padding=2, bias=False), *_normalised(wider),
            doubling(wider, wide, bias=False), *_normalised(wide),
            doubling(wide, base, bias=False), *_normalised(base),
            doubling(base, channels),
            nn.Tanh(),
        )  # fmt: skip
        init_glorot_(self)

    def forward(self, latents: Tensor) -> Tensor:
        """(N, Z) latents -> (N, C, H, W) images in [-1, 1]."""
        return self.layers(latents)


def doubling(inputs: int, outputs: int, bias: bool = True) -> nn.ConvTranspose2d:
    """(N, inputs, H, W) -> (N, outputs, 2H, 2W)."""
    return nn.ConvTranspose2d(inputs, outputs, 5, stride=2, padding=2, output_padding=1, bias=bias)


def _normalised(channels: int) -> list[nn.Module]:
    return [nn.BatchNorm2d(channels), nn.LeakyReLU(0.3, inplace=True)]
