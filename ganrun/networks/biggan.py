"""BigGAN: a residual generator in which every block gets the class and a part of the latents (Brock et al., 2019)."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn

from ganrun.common.bounds import Setting, Whole
from ganrun.networks.conditional_norm import ConditionalBatchNorm2d
from ganrun.networks.dcgan import start_grid, widths_of
from ganrun.networks.init import init_orthogonal_
from ganrun.networks.norms import find_norm
from ganrun.networks.residual import UpBlock
from ganrun.networks.resnet_gan import LARGE, ResNetDiscriminator, attended, discriminator_widths, last_layers
from ganrun.networks.sizes import Size, as_size


def large_widths(doublings: int, base: int) -> list[int]:
    """Channels of each feature map, from the pixels on: the paper's at 128, 256 and 512 pixels (tables 4 to 6)."""
    if doublings <= 5:
        return widths_of(doublings, base, None)
    return [base * times for times in ([1] * (doublings - 5) + [2, 4, 8, 8, 16])]


class BigGANGenerator(nn.Module):
    """A dense layer of the first part of z, then `UpBlock`s that are conditioned on the class and a part of z each.

    z is cut into as equal parts as there are blocks, and one more for the dense layer: 80 = 4·20 at 32 pixels and
    120 = 6·20 at 128 in the paper. The classes' table of `shared_size` is shared by all blocks; without `classes`
    they get their part of z alone. `attention` adds self-attention to the largest features of at most so many pixels a
    side; 0 adds none. Every weight but the table is spectrally normalised; first weights are orthogonal.
    Raises ValueError for sizes that have no start grid, and for fewer latents than parts.
    """

    def __init__(
        self,
        latent_size: Setting,
        channels: Setting,
        image_size: Size,
        base_channels: Setting = 96,
        classes: Whole = 0,
        shared_size: Setting = 128,
        attention: Whole = 64,
    ) -> None:
        super().__init__()
        self.grid, doublings = start_grid(image_size, "BigGANGenerator")
        self.parts = part_sizes(latent_size, doublings + 1)
        widths = generator_widths(doublings, base_channels)
        sides = [max(self.grid) << (number + 1) for number in range(doublings)]
        attend = attended(sides, max(as_size(image_size)), attention)[-1:]
        self.embedding = nn.Embedding(classes, shared_size) if classes else None
        told = shared_size if classes else 0
        self.dense = nn.Linear(self.parts[0], widths[0] * self.grid[0] * self.grid[1])
        self.blocks = nn.ModuleList(
            UpBlock(inputs, outputs, partial(ConditionalBatchNorm2d, condition_size=told + part), number in attend)
            for number, (part, (inputs, outputs)) in enumerate(zip(self.parts[1:], pairwise(widths), strict=True))
        )
        self.last = last_layers(widths[-1], channels)
        init_orthogonal_(self)
        find_norm("spectral").bound_(self)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """(N, Z) latents[, (N,) labels] -> (N, C, H, W) images in [-1, 1]."""
        first, *others = latents.split(self.parts, dim=1)
        if self.embedding is not None:
            known = self.embedding(labels)
            others = [torch.cat([known, part], dim=1) for part in others]
        features = self.dense(first).unflatten(1, (-1, *self.grid))
        for block, condition in zip(self.blocks, others, strict=True):
            features = block(features, condition)
        return self.last(features)


def part_sizes(latent_size: int, parts: int) -> list[int]:
    """9 latents in 4 parts -> [3, 2, 2, 2]. Raises ValueError where a part would be empty."""
    if latent_size < parts:
        raise ValueError(
            f"latent_size={latent_size}: BigGAN cuts the latents into {parts} parts at this image size: "
            f"use model.latent.size={20 * parts}"
        )
    return [latent_size // parts + (number < latent_size % parts) for number in range(parts)]


def generator_widths(doublings: int, base: int) -> list[int]:
    """Channels of each feature map, from the smallest: 4·base everywhere, or from 16·base down from 64 pixels on.

    The paper has no network for 64 pixels: the widths are those of the authors' own code.
    """
    if doublings < LARGE:
        return [4 * base] * (doublings + 1)
    if doublings == LARGE:
        return [base * times for times in (16, 16, 8, 4, 2)]
    return [16 * base, *large_widths(doublings, base)[::-1]]


class BigGANDiscriminator(ResNetDiscriminator):
    """`ResNetDiscriminator` with BigGAN's widths; they differ at 256 pixels and more."""

    def widths(self, doublings: int, base: int) -> tuple[list[int], int]:
        if doublings < LARGE:
            return discriminator_widths(doublings, base)
        return [*large_widths(doublings, base), 16 * base], doublings
