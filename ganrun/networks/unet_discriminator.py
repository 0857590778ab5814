"""U-Net discriminator: a logit for each pixel, spectral normalization (Wang et al., 2021; Schönfeld et al., 2020)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from ganrun.common.bounds import Setting, Whole
from ganrun.networks.anysize import cut_back, padded
from ganrun.networks.spectral import spectral_norm

HALVINGS = 3


class UNetDiscriminator(nn.Module):
    """Three halvings, three bilinear doublings with the features of the same size added, three convolutions.

    It sees the whole of a picture and judges each of its pixels, so the generator learns where it looks false
    (Real-ESRGAN, section 3.4). Every convolution but the first and the last is spectrally normalised. Sides that are
    no multiple of 8 are padded. `condition_channels` are those of a picture that is laid beside the one to be judged.
    """

    def __init__(self, channels: Setting, base_channels: Setting = 64, condition_channels: Whole = 0) -> None:
        super().__init__()
        widths = [base_channels << k for k in range(HALVINGS + 1)]
        self.first = nn.Conv2d(channels + condition_channels, base_channels, 3, padding=1)
        self.down = nn.ModuleList(halving(widths[k], widths[k + 1]) for k in range(HALVINGS))
        self.up = nn.ModuleList(keeping(widths[k + 1], widths[k]) for k in reversed(range(HALVINGS)))
        self.refine = nn.ModuleList(keeping(base_channels, base_channels) for _ in range(2))
        self.last = nn.Conv2d(base_channels, 1, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) images, beside their condition where there is one -> (N, 1, H, W) a logit for each pixel."""
        x = active(self.first(padded(images, 2**HALVINGS, least=1)))
        bridges = []
        for down in self.down:
            bridges.append(x)
            x = active(down(x))
        for up in self.up:
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
            x = active(up(x)) + bridges.pop()
        for refine in self.refine:
            x = active(refine(x))
        return cut_back(self.last(x), images)


def halving(inputs: int, outputs: int) -> nn.Module:
    return spectral_norm(nn.Conv2d(inputs, outputs, 4, 2, 1, bias=False))


def keeping(inputs: int, outputs: int) -> nn.Module:
    return spectral_norm(nn.Conv2d(inputs, outputs, 3, padding=1, bias=False))


def active(features: Tensor) -> Tensor:
    return F.leaky_relu(features, 0.2)
