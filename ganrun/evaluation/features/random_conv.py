"""Features of an untrained convolutional network with fixed random weights, for data without labels."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn

from ganrun.common.bounds import Natural
from ganrun.data.dataset import Dataset
from ganrun.evaluation.features.extractor import Extractor, Features
from ganrun.networks.classifier import halvings

WIDTHS = (32, 64, 64)  # output channels of the first layers; every further layer has 64
CELLS = 2  # the last maps are averaged over 2×2 cells: 4 × 64 = 256 features


class RandomConv(Features):
    """A random network as feature network (Naeem et al., 2020, section 4).

    Its weights are the same for the same `seed`, channels and depth, on every machine.
    """

    def __init__(self, seed: Natural = 0) -> None:
        self.seed = seed

    def open(self, data: Dataset, cache: Path, device: torch.device) -> Extractor:
        network = Encoder(data.channels, data.image_size, self.seed).to(device)
        return Extractor("random_conv", network, WIDTHS[-1] * CELLS**2, about={"weights_seed": self.seed})


class Encoder(nn.Module):
    """3×3 convolutions with stride 2 and leaky ReLU, until the short side is at most 4 pixels; weights as He et al."""

    def __init__(self, channels: int, image_size: tuple[int, int], seed: int) -> None:
        super().__init__()
        depth = max(len(WIDTHS), len(halvings(image_size)) - 1)
        widths = [channels, *WIDTHS, *[WIDTHS[-1]] * (depth - len(WIDTHS))]
        layers: list[nn.Module] = []
        source = torch.Generator().manual_seed(seed)
        for inputs, outputs in pairwise(widths):
            convolution = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False)
            nn.init.kaiming_normal_(convolution.weight, a=0.2, generator=source)
            layers += [convolution, nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(CELLS), nn.Flatten())

    def forward(self, images: Tensor) -> tuple[Tensor, None]:
        """(N, C, H, W) images in [-1, 1] -> (N, 256) features, and no logits."""
        return self.layers(images), None
