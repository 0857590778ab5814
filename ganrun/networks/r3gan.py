"""R3GAN: residual blocks of grouped convolutions without normalisation, drawn small by fix-up (Huang et al., 2024)."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganrun.common.bounds import At, Setting, Whole
from ganrun.networks.init import init_he_
from ganrun.networks.packing import checked_pack, packed
from ganrun.networks.sizes import Grid, Size, as_size, require

SLOPE = 0.2  # of every LeakyReLU
GROUP = 16  # channels of a group of the 3×3 convolutions, at every width: the paper's 96 groups of 1536 channels
LINEAR = 1.0  # the slope of what no activation follows

Blocks = Annotated[int, At(1, 100)]


def start_grid(image_size: Size) -> tuple[Grid, int]:
    """((height, width) of the smallest map, how often it doubles): the short side starts at 4 to 7, 32 = 4·2³.

    Raises ValueError for a size that has no such start.
    """
    sides = as_size(image_size)
    require(sides, _fits, "R3GAN doubles a map with a short side of 4 to 7 until it has the image")
    doublings = _doublings(*sides)
    return (sides[0] >> doublings, sides[1] >> doublings), doublings


def _doublings(height: int, width: int) -> int:
    return (min(height, width) // 4).bit_length() - 1


def _fits(height: int, width: int) -> bool:
    doublings = _doublings(height, width)
    return doublings >= 1 and height % 2**doublings == 0 and width % 2**doublings == 0


def widths_of(image_size: Size, base: int, full_width: int) -> list[int]:
    """Channels of each stage, the smallest map first: `base` up to `full_width` pixels, then half for each doubling.

    64 pixels, 768, 32 -> [768, 768, 768, 768, 384].
    """
    (height, width), doublings = start_grid(image_size)
    sides = [min(height, width) << stage for stage in range(doublings + 1)]
    halvings = [max(0, (-(-side // full_width) - 1).bit_length()) for side in sides]
    return [max(1, base >> halving) for halving in halvings]


class Block(nn.Module):
    """x + 1×1(act(3×3(act(1×1 x)))), the 3×3 in groups and `expansion` times as wide (config E of section 4).

    An activation is LeakyReLU after a learnt bias. Fix-up: the last convolution starts at 0, so that the block starts
    as the identity; the other two are He's times `scale`, L^(-1/4) in a network of L blocks (Zhang et al., 2019:
    L^(-1/(2m − 2)) with the m = 3 layers of a block).
    """

    def __init__(self, width: int, expansion: int, scale: float) -> None:
        super().__init__()
        inner = width * expansion
        groups = inner // GROUP if inner % GROUP == 0 else 1
        self.expand = nn.Conv2d(width, inner, 1, bias=False)
        self.bias_1 = nn.Parameter(torch.zeros(inner))
        self.spread = nn.Conv2d(inner, inner, 3, padding=1, groups=groups, bias=False)
        self.bias_2 = nn.Parameter(torch.zeros(inner))
        self.reduce = nn.Conv2d(inner, width, 1, bias=False)
        init_he_(self, SLOPE)
        nn.init.zeros_(self.reduce.weight)
        with torch.no_grad():
            self.expand.weight.mul_(scale)
            self.spread.weight.mul_(scale)

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)"""
        inner = activated(self.expand(features), self.bias_1)
        return features + self.reduce(activated(self.spread(inner), self.bias_2))


def activated(features: Tensor, bias: Tensor) -> Tensor:
    """(N, C, H, W) features, (C,) bias -> LeakyReLU of their sum."""
    return F.leaky_relu(features + bias.to(features.dtype)[:, None, None], SLOPE)


def stage(width: int, blocks: int, expansion: int, scale: float) -> list[nn.Module]:
    return [Block(width, expansion, scale) for _ in range(blocks)]


class Resample(nn.Module):
    """Bilinear ×2 or ×1/2, beside a 1×1 convolution without bias where the width changes.

    Both are linear and bilinear weights sum to 1, so their order does not matter: the convolution sees the small map.
    """

    def __init__(self, inputs: int, outputs: int, up: bool) -> None:
        super().__init__()
        self.up = up
        self.widen = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1, bias=False)
        init_he_(self, LINEAR)

    def forward(self, features: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, 2·H, 2·W), or (N, outputs, H/2, W/2)"""
        if self.up:
            return F.interpolate(self.widen(features), scale_factor=2, mode="bilinear", align_corners=False)
        return self.widen(F.avg_pool2d(features, 2))  # half-way between two pixels, bilinear is the mean of 2×2


class Embedding(nn.Module):
    """Labels -> `size` numbers each, by a weight with no bias: rows ~ N(0, std²)."""

    def __init__(self, classes: int, size: int, std: float) -> None:
        super().__init__()
        self.table = nn.Embedding(classes, size)
        nn.init.normal_(self.table.weight, 0.0, std)

    def forward(self, labels: Tensor) -> Tensor:
        """(N,) labels -> (N, size)"""
        return self.table(labels)


class R3GANGenerator(nn.Module):
    """A learnt map whose channels the latents scale, then stages of blocks with a bilinear doubling between two.

    The paper's network for CIFAR-10 has base_channels 768 in all of its 4 stages and 2 blocks a stage. Above
    `full_width` pixels the widths halve with each doubling, as in StyleGAN2: the paper keeps 768 up to its 32 pixels;
    the halving is ours. With `classes` an embedding of the label, as long as the latents, is concatenated to them.

    The last layer is linear in training, as in the paper: a tanh would bend the gradients of bright and dark pixels.
    In eval mode, where pictures are drawn and scored, the images are clipped to [-1, 1]. Files of pictures would clip
    them so anyway. Raises ValueError for sizes that have no start.
    """

    basis: Tensor  # (C, h, w)

    def __init__(
        self,
        latent_size: Setting,
        channels: Setting,
        image_size: Size,
        base_channels: Setting = 768,
        blocks: Blocks = 2,
        expansion: Setting = 2,
        full_width: Setting = 32,
        label_size: Setting = 64,
        classes: Whole = 0,
    ) -> None:
        super().__init__()
        grid, _ = start_grid(image_size)
        widths = widths_of(image_size, base_channels, full_width)
        scale = (blocks * len(widths)) ** -0.25
        self.basis = nn.Parameter(torch.randn(widths[0], *grid))
        self.embedding = Embedding(classes, label_size, std=1.0) if classes else None
        self.scales = nn.Linear(latent_size + (label_size if classes else 0), widths[0], bias=False)
        layers = stage(widths[0], blocks, expansion, scale)
        for inputs, outputs in pairwise(widths):
            layers += [Resample(inputs, outputs, up=True), *stage(outputs, blocks, expansion, scale)]
        self.layers = nn.Sequential(*layers)
        self.to_image = nn.Conv2d(widths[-1], channels, 1, bias=False)
        for last in (self.scales, self.to_image):
            init_he_(last, LINEAR)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """(N, Z) latents, (N,) labels -> (N, C, H, W) images, in [-1, 1] in eval mode."""
        if self.embedding is not None:
            latents = torch.cat([latents, self.embedding(labels).to(latents.dtype)], dim=1)
        features = self.basis * self.scales(latents)[:, :, None, None]
        images = self.to_image(self.layers(features))
        return images if self.training else images.clamp(-1, 1)


class R3GANDiscriminator(nn.Module):
    """The generator's stages backwards, a 4×4 convolution of each channel over the last map, a linear layer.

    With `classes` the logit is ⟨W φ(x), v_y⟩, v_y the embedding of the label (Miyato and Koyama, 2018, without ψ).
    Without, `pack` images may be judged together (`ganrun.networks.packing`).
    Raises ValueError for sizes that have no start.
    """

    couples_images = False

    def __init__(
        self,
        channels: Setting,
        image_size: Size,
        base_channels: Setting = 768,
        blocks: Blocks = 2,
        expansion: Setting = 2,
        full_width: Setting = 32,
        classes: Whole = 0,
        pack: Setting = 1,
    ) -> None:
        super().__init__()
        self.pack = checked_pack(pack, classes)
        self.couples_images = pack > 1
        grid, _ = start_grid(image_size)
        widths = widths_of(image_size, base_channels, full_width)[::-1]
        scale, last = (blocks * len(widths)) ** -0.25, widths[-1]
        self.from_image = nn.Conv2d(pack * channels, widths[0], 1, bias=False)
        layers = stage(widths[0], blocks, expansion, scale)
        for inputs, outputs in pairwise(widths):
            layers += [Resample(inputs, outputs, up=False), *stage(outputs, blocks, expansion, scale)]
        self.layers = nn.Sequential(*layers)
        self.pool = nn.Conv2d(last, last, grid, groups=last, bias=False)
        self.head = nn.Linear(last, last if classes else 1, bias=False)
        self.embedding = Embedding(classes, last, std=last**-0.5) if classes else None
        for linear in (self.from_image, self.pool, self.head):
            init_he_(linear, LINEAR)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """(N, C, H, W) images, (N,) labels -> (N / pack,) logits."""
        judged = self.head(self.features(images))
        if self.embedding is None:
            return judged[:, 0]
        return (judged * self.embedding(labels)).sum(1)

    def features(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """(N, C, H, W) images -> (N / pack, C') what the linear layer reads; labels change nothing here."""
        return self.pool(self.layers(self.from_image(packed(images, self.pack)))).flatten(1)
