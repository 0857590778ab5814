"""Residual blocks of GANs: doubling in a generator, halving in a discriminator (Gulrajani et al., 2017)."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from ganrun.networks.attention import SelfAttention2d
from ganrun.networks.conditional_norm import ConditionalBatchNorm2d
from ganrun.networks.doubling import DoublingConv2d, HalvingConv2d
from ganrun.networks.norms import Norm


class UpBlock(nn.Module):
    """[BN, ReLU, doubling, 3×3, BN, ReLU, 3×3] beside [1×1, doubling]; `norm` makes the BN of so many channels."""

    def __init__(self, inputs: int, outputs: int, norm: Callable[[int], nn.Module], attention: bool = False) -> None:
        super().__init__()
        self.norm1, self.norm2 = norm(inputs), norm(outputs)
        self.conv1 = DoublingConv2d(inputs, outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.skip = nn.Conv2d(inputs, outputs, 1)
        self.attend = SelfAttention2d(outputs) if attention else nn.Identity()

    def forward(self, features: Tensor, condition: Tensor | None) -> Tensor:
        """(N, inputs, H, W) features, what the norms are conditioned on -> (N, outputs, 2H, 2W)"""
        x = self.conv1(F.relu(normalised(self.norm1, features, condition)))
        x = self.conv2(F.relu(normalised(self.norm2, x, condition)))
        return self.attend(x + F.interpolate(self.skip(features), scale_factor=2))


def normalised(norm: nn.Module, features: Tensor, condition: Tensor | None) -> Tensor:
    return norm(features, condition) if isinstance(norm, ConditionalBatchNorm2d) else norm(features)


class DownBlock(nn.Module):
    """[norm, ReLU, 3×3, norm, ReLU, 3×3, mean of 2×2 if it halves] beside [the same mean, 1×1 if anything changes].

    `wide`: the first convolution has all `outputs` (Brock et al., 2019) instead of the `inputs`. The `first` block of a
    network sees pixels: it has neither norm nor ReLU before its first convolution, which has all outputs.
    """

    couples_images = False

    def __init__(
        self,
        inputs: int,
        outputs: int,
        norm: Norm,
        halves: bool = True,
        first: bool = False,
        wide: bool = False,
        attention: bool = False,
    ) -> None:
        super().__init__()
        hidden = outputs if wide or first else inputs
        before = [] if first else [norm.layer(inputs), nn.ReLU()]  # not in place: the bypass reads the same features
        self.layers = nn.Sequential(
            *before,
            nn.Conv2d(inputs, hidden, 3, padding=1),
            norm.layer(hidden),
            nn.ReLU(inplace=True),
            HalvingConv2d(hidden, outputs) if halves else nn.Conv2d(hidden, outputs, 3, padding=1),
        )
        mean = [nn.AvgPool2d(2)] if halves else []
        self.skip = nn.Sequential(*mean, *([nn.Conv2d(inputs, outputs, 1)] if halves or inputs != outputs else []))
        self.attend = SelfAttention2d(outputs) if attention else nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, H, W), or half the sides"""
        return self.attend(self.layers(features) + self.skip(features))
