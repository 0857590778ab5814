"""ResNet GAN: residual generator and discriminator of WGAN-GP, SNGAN and SAGAN (Gulrajani et al., 2017)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Literal

from torch import Tensor, nn

from ganrun.common.bounds import Setting, Whole
from ganrun.networks.conditional_norm import ConditionalBatchNorm2d
from ganrun.networks.dcgan import start_grid, widths_of
from ganrun.networks.init import init_orthogonal_, init_residual_
from ganrun.networks.norms import find_norm
from ganrun.networks.packing import checked_pack, packed
from ganrun.networks.projection import Projection
from ganrun.networks.residual import DownBlock, UpBlock
from ganrun.networks.sizes import Size, as_size

LARGE = 4  # doublings: from 64 pixels on, the papers' ImageNet networks; below, those for CIFAR-10


def generator_widths(doublings: int, base: int) -> list[int]:
    """Channels of each feature map, from the smallest: 4·base everywhere, or halving from at most 16·base to base."""
    if doublings < LARGE:
        return [4 * base] * (doublings + 1)
    return widths_of(doublings + 1, base, 16 * base)[::-1]


def discriminator_widths(doublings: int, base: int) -> tuple[list[int], int]:
    """(channels after each block, how many of the blocks halve): two of four below 64 pixels, else all but the last."""
    if doublings < LARGE:
        return [2 * base] * 4, 2
    return widths_of(doublings + 1, base, 16 * base), doublings


def attended(sides: Sequence[int], image_side: int, most: int) -> list[int]:
    """The blocks whose features have at most `most` pixels a side, and fewer than the image."""
    return [number for number, side in enumerate(sides) if side <= most and side < image_side]


class ResNetGenerator(nn.Module):
    """A dense layer to the start grid, an `UpBlock` for every doubling, then BN, ReLU, a 3×3 convolution and tanh.

    The start grid is that of DCGAN: 4×4 for powers of two. With `classes` the blocks' BatchNorm is conditional.
    `spectral` normalises every weight but the tables of classes. `attention` adds self-attention to the largest
    features of at most so many pixels a side; 0 adds none. Raises ValueError for sizes that have no start grid.
    """

    def __init__(
        self,
        latent_size: Setting,
        channels: Setting,
        image_size: Size,
        base_channels: Setting = 64,
        classes: Whole = 0,
        spectral: bool = False,
        attention: Whole = 0,
    ) -> None:
        super().__init__()
        self.grid, doublings = start_grid(image_size, "ResNetGenerator")
        widths = generator_widths(doublings, base_channels)
        sides = [max(self.grid) << (number + 1) for number in range(doublings)]
        attend = attended(sides, max(as_size(image_size)), attention)[-1:]
        norm = partial(ConditionalBatchNorm2d, classes=classes) if classes else nn.BatchNorm2d
        self.dense = nn.Linear(latent_size, widths[0] * self.grid[0] * self.grid[1])
        self.blocks = nn.ModuleList(
            UpBlock(inputs, outputs, norm, number in attend)
            for number, (inputs, outputs) in enumerate(pairwise(widths))
        )
        self.last = last_layers(widths[-1], channels)
        init_residual_(self)
        find_norm("spectral" if spectral else "none").bound_(self)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """(N, Z) latents[, (N,) labels] -> (N, C, H, W) images in [-1, 1]."""
        features = self.dense(latents).unflatten(1, (-1, *self.grid))
        for block in self.blocks:
            features = block(features, labels)
        return self.last(features)


def last_layers(width: int, channels: int) -> nn.Sequential:
    """(N, width, H, W) features -> (N, channels, H, W) images in [-1, 1]"""
    return nn.Sequential(
        nn.BatchNorm2d(width), nn.ReLU(inplace=True), nn.Conv2d(width, channels, 3, padding=1), nn.Tanh()
    )


class ResNetDiscriminator(nn.Module):
    """`DownBlock`s, ReLU, the sum or mean over all places, and a linear layer; a projection with `classes`.

    `norm` names one of `ganrun.networks.norms.NORMS`. `attention` adds self-attention to the largest features of at
    most so many pixels a side; 0 adds none. `wide` is that of `DownBlock`. `pooling`: SNGAN sums, WGAN-GP takes the
    mean. `heads` above 1 are for an auxiliary classifier. `init` names the first weights. `pack` images are judged
    together (`ganrun.networks.packing`); without `classes` only.
    """

    couples_images = False

    def __init__(
        self,
        channels: Setting,
        image_size: Size,
        base_channels: Setting = 64,
        classes: Whole = 0,
        norm: str = "spectral",
        attention: Whole = 0,
        wide: bool = False,
        pooling: Literal["sum", "mean"] = "sum",
        heads: Setting = 1,
        init: Literal["residual", "orthogonal"] = "residual",
        pack: Setting = 1,
    ) -> None:
        super().__init__()
        self.pack = checked_pack(pack, classes)
        self.couples_images = pack > 1
        side, normalise = max(as_size(image_size)), find_norm(norm)
        widths, halvings = self.widths(start_grid(image_size, "ResNetDiscriminator")[1], base_channels)
        sides = [side >> min(number + 1, halvings) for number in range(len(widths))]
        attend = attended(sides, side, attention)[:1]
        self.blocks = nn.Sequential(
            *(
                DownBlock(inputs, outputs, normalise, number < halvings, number == 0, wide, number in attend)
                for number, (inputs, outputs) in enumerate(pairwise([pack * channels, *widths]))
            ),
            normalise.layer(widths[-1]),
            nn.ReLU(inplace=True),
        )
        self.mean = pooling == "mean"
        self.head = Projection(widths[-1], classes, heads)
        (init_orthogonal_ if init == "orthogonal" else init_residual_)(self)
        normalise.bound_(self, embeddings=True)

    def widths(self, doublings: int, base: int) -> tuple[list[int], int]:
        return discriminator_widths(doublings, base)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """(N, C, H, W) images[, (N,) labels] -> (N / pack,) logits, or (N / pack, heads)."""
        return self.head(self.features(images), labels)

    def features(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """(N, C, H, W) images -> (N / pack, F) what the last layer makes the logit of."""
        features = self.blocks(packed(images, self.pack))
        return features.mean((2, 3)) if self.mean else features.sum((2, 3))
