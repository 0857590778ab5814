"""Decoder: draws an image from a discriminator's features, so that these must say what is in it (Liu et al., 2021)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ganrun.common.bounds import Setting, Whole
from ganrun.networks.doubling import DoublingConv2d
from ganrun.networks.norms import Norm


class GLU(nn.Module):
    """The first half of the channels times the sigmoid of the second (Dauphin et al., 2017).

    The gradient of torch's own leaves channels_last, and BatchNorm before it then took five times as long on a CPU.
    """

    couples_images = False

    def forward(self, features: Tensor) -> Tensor:
        """(N, 2·C, H, W) -> (N, C, H, W)"""
        values, gates = features.chunk(2, 1)
        return values * gates.sigmoid()


def doubled_glu(inputs: int, outputs: int, norm: Norm) -> nn.Sequential:
    """(N, inputs, H, W) -> (N, outputs, 2·H, 2·W): doubling, 3×3 convolution, norm, gated linear unit."""
    return nn.Sequential(DoublingConv2d(inputs, 2 * outputs, bias=norm.bias), norm.layer(2 * outputs), GLU())


class Decoder(nn.Module):
    """So many doublings, a 3×3 convolution and tanh. Widths begin at a quarter of the features' and halve."""

    couples_images = False

    def __init__(self, inputs: Setting, channels: Setting, doublings: Whole, norm: Norm) -> None:
        super().__init__()
        widths = [inputs, *(max(1, inputs >> (2 + number)) for number in range(doublings))]
        blocks = (doubled_glu(widths[number], widths[number + 1], norm) for number in range(doublings))
        self.layers = nn.Sequential(*blocks, nn.Conv2d(widths[-1], channels, 3, padding=1), nn.Tanh())

    def forward(self, features: Tensor) -> Tensor:
        """(N, inputs, h, w) -> (N, C, h·2^doublings, w·2^doublings) in [-1, 1]"""
        return self.layers(features)


def crop_places(count: int, places: tuple[int, int], device: torch.device) -> Tensor:
    """-> (count, 2) the first row and column of a crop of each image: row 0 to places[0] - 1, all equally likely."""
    rows, columns = torch.rand(count, 2, device=device).unbind(1)  # for each image: a rank draws those of its own
    return torch.stack([rows * places[0], columns * places[1]], 1).long()


def cropped(images: Tensor, first: Tensor, height: int, width: int) -> Tensor:
    """(N, C, H, W) images, (N, 2) the first row and column of each -> (N, C, height, width)"""
    # `gather` takes places that lie on the device: slices would have to be read by Python
    rows = first[:, 0, None] + torch.arange(height, device=first.device)
    columns = first[:, 1, None] + torch.arange(width, device=first.device)
    channels = images.shape[1]
    band = images.gather(2, rows[:, None, :, None].expand(-1, channels, -1, images.shape[3]))
    return band.gather(3, columns[:, None, None, :].expand(-1, channels, height, -1))
