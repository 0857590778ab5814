"""Small convolutional pair: few channels and 5×5 kernels, for faces of 64×64 on modest machines."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from ganrun.common.bounds import Setting
from ganrun.networks.deconv import doubling
from ganrun.networks.init import init_glorot_
from ganrun.networks.norms import find_norm
from ganrun.networks.sizes import Size, cells


class SmallConvGenerator(nn.Module):
    """Dense to a sixteenth of the size, four doublings of 64, 32, 16, 16 channels, one convolution to the image.

    For 64×64 images the dense layer has 4·4·128 outputs. `base_channels` is the 16.
    """

    def __init__(self, latent_size: Setting, channels: Setting, image_size: Size, base_channels: Setting = 16) -> None:
        super().__init__()
        height, width = cells(image_size, 16, "SmallConvGenerator")
        widths = [base_channels * k for k in (8, 4, 2, 1, 1)]
        features = widths[0] * height * width
        layers: list[nn.Module] = [
            nn.Linear(latent_size, features, bias=False),
            nn.BatchNorm1d(features),
            nn.Unflatten(1, (widths[0], height, width)),
        ]
        for inputs, outputs in pairwise(widths):
            layers += [
                doubling(inputs, outputs, bias=False),
                nn.BatchNorm2d(outputs),
                nn.LeakyReLU(0.3, inplace=True),
            ]
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], channels, 5, padding=2), nn.Tanh())
        init_glorot_(self)

    def forward(self, latents: Tensor) -> Tensor:
        """(N, Z) latents -> (N, C, H, W) images in [-1, 1]."""
        return self.layers(latents)


class SmallConvDiscriminator(nn.Module):
    """Four blocks of two convolutions with one activation, the mean over all places, one dense layer.

    Channels are 16, 32, 64, 128 (`base_channels` is the 16). `norm` names one of `ganrun.networks.norms.NORMS`.
    """

    couples_images = False

    def __init__(self, channels: Setting, image_size: Size, base_channels: Setting = 16, norm: str = "batch") -> None:
        super().__init__()
        cells(image_size, 16, "SmallConvDiscriminator")
        normalise = find_norm(norm)
        widths = [channels, *(base_channels << k for k in range(4))]
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(widths):
            layers += [
                nn.Conv2d(inputs, outputs, 5, padding=2, bias=normalise.bias),
                normalise.layer(outputs),
                nn.Conv2d(outputs, outputs, 5, stride=2, padding=2, bias=normalise.bias),
                normalise.layer(outputs),
                nn.LeakyReLU(0.3, inplace=True),
            ]
        self.layers = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], 1))
        init_glorot_(self)
        normalise.bound_(self)

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) images -> (N,) logits."""
        return self.layers(images).flatten()

    def features(self, images: Tensor) -> Tensor:
        """(N, C, H, W) images -> (N, ...) what the last layer makes the logit of."""
        return self.layers[:-1](images)
