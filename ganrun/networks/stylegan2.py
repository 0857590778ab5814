"""StyleGAN2: a skip generator that styles steer layer by layer, and its discriminator (Karras et al., 2020)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganrun.common.bounds import Setting, Whole
from ganrun.networks.dcgan import start_grid
from ganrun.networks.equalized import (
    GAIN,
    SLOPE,
    EqualConv2d,
    EqualLinear,
    LabelVector,
    leaky_conv,
    leaky_linear,
    leaky_linears,
    root_half,
)
from ganrun.networks.growth import Growth, PartOfRun, pooled
from ganrun.networks.minibatch import find_minibatch
from ganrun.networks.modulation import ModulatedConv2d
from ganrun.networks.packing import checked_pack, packed
from ganrun.networks.resampling import Filter, doubled
from ganrun.networks.sizes import Grid, Size
from ganrun.networks.style_mapping import RATE, StyleMapping, mixed


def grids_and_widths(image_size: Size, base_channels: int, full_until: int) -> tuple[list[Grid], list[int]]:
    """The grids from the smallest to the image, and the channels of each.

    Grids with a short side of up to `full_until` have base_channels, and channels halve with each doubling from there.
    With 512 and 64 these are the paper's: 512 up to 64 px, then 256, 128, 64. Raises ValueError as `start_grid` does.
    """
    (height, width), doublings = start_grid(image_size, "StyleGAN2")
    grids = [(height << level, width << level) for level in range(doublings + 1)]
    return grids, [max(1, base_channels * full_until // max(full_until, min(grid))) for grid in grids]


class StyleGAN2Generator(nn.Module):
    """A mapping network, and layers from a learned constant to the image; RGB images of all grids are added up.

    `mapping.mean_style` has the running mean of the styles. In training each layer draws noise from torch's random
    state, and the image is linear, without bounds, as in the paper. In eval mode an image is cut to [-1, 1], and its
    noise is a function of its seed; without seeds all images have the noise that is kept with the weights. With
    `growth`, a number of pixels, images grow from there during the first `growth_share` of a run (see `Growth`).
    """

    def __init__(
        self,
        latent_size: Setting,
        channels: Setting,
        image_size: Size,
        base_channels: Setting = 512,
        full_until: Setting = 64,
        style_size: Setting = 512,
        mapping_layers: Whole = 8,
        classes: Whole = 0,
        growth: Setting | None = None,
        growth_share: PartOfRun = 0.5,
    ) -> None:
        super().__init__()
        grids, widths = grids_and_widths(image_size, base_channels, full_until)
        self.mapping = StyleMapping(latent_size, style_size, mapping_layers, classes)
        self.constant = nn.Parameter(torch.randn(1, widths[0], *grids[0]))
        self.first = StyledConv(widths[0], widths[0], style_size, grids[0])
        self.first_rgb = ToRGB(widths[0], channels, style_size)
        self.blocks = nn.ModuleList(
            GeneratorBlock(inputs, outputs, channels, style_size, grid)
            for (inputs, outputs), grid in zip(pairwise(widths), grids[1:], strict=True)
        )
        self.layers = 2 + 2 * len(self.blocks)  # how many layers have a style of their own
        self.noisy = [grids[0], *(grid for grid in grids[1:] for _ in range(2))]  # the grids of the layers with noise
        self.growth = None if growth is None else Growth(grids, growth, growth_share)

    def forward(
        self,
        latents: Tensor,
        labels: Tensor | None = None,
        others: Tensor | None = None,
        psi: Tensor | None = None,
        seeds: Tensor | None = None,
    ) -> Tensor:
        """(N, Z) latents, (N,) labels -> (N, C, H, W) images, in eval mode in [-1, 1].

        With (N, Z) `others`, style mixing: see `mixed`. With (N,) `psi`, truncation of the styles. With (N,) `seeds`,
        noise of these seeds.
        """
        noise = None if seeds is None else seeded_noise(seeds, self.noisy)
        return self.synthesis(self.styles(latents, labels, others, psi), noise)

    def styles(
        self, latents: Tensor, labels: Tensor | None = None, others: Tensor | None = None, psi: Tensor | None = None
    ) -> Tensor:
        """-> (N, layers, W): one style for each layer."""
        styles = self.mapping(latents, labels)
        if psi is not None:
            styles = self.mapping.truncated(styles, labels, psi)
        if others is not None:
            return mixed(styles, self.mapping(others, labels), self.layers, self.active_layers)
        return styles[:, None].expand(-1, self.layers, -1)

    @property
    def active_layers(self) -> int:
        """How many layers have a style while the present grids are computed."""
        return self.layers if self.growth is None else 2 + 2 * self.growth.stage

    def synthesis(self, styles: Tensor, noise: Sequence[Tensor] | None = None) -> Tensor:
        """(N, layers, W) styles, (N, 1, H, W) noise of each layer that has noise -> (N, C, H, W) images."""
        given: Sequence[Tensor | None] = noise or [None] * len(self.noisy)
        features = self.first(self.constant.expand(len(styles), -1, -1, -1), styles[:, 0], given[0])
        older = image = self.first_rgb(features, styles[:, 1])
        for number, block in enumerate(self.blocks if self.growth is None else self.blocks[: self.growth.stage]):
            at, older = 2 * number + 1, image
            # the first layer of a block and the RGB layer of the block before it share a style
            features, image = block(features, image, styles[:, at : at + 3].unbind(1), given[at : at + 2])
        if self.growth is not None:
            image = self.growth.shown(older, image)
        return image if self.training else image.clamp(-1, 1)


def seeded_noise(seeds: Tensor, grids: Sequence[Grid]) -> list[Tensor]:
    """(N,) -> (N, 1, H, W) for each grid. Drawn on the CPU for each image: the same on any device, in any batch."""
    sizes = [height * width for height, width in grids]
    of_each = [torch.randn(sum(sizes), generator=torch.Generator().manual_seed(seed)) for seed in seeds.tolist()]
    parts = torch.stack(of_each).to(seeds.device).split(sizes, dim=1)
    return [part.unflatten(1, (1, *grid)) for part, grid in zip(parts, grids, strict=True)]


class GeneratorBlock(nn.Module):
    """Doubles the features with two styled convolutions, and adds to the doubled image what it sees in them."""

    def __init__(self, inputs: int, outputs: int, channels: int, style_size: int, grid: Grid) -> None:
        super().__init__()
        self.doubling = StyledConv(inputs, outputs, style_size, grid, doubles=True)
        self.second = StyledConv(outputs, outputs, style_size, grid)
        self.rgb = ToRGB(outputs, channels, style_size)

    def forward(
        self, features: Tensor, image: Tensor, styles: Sequence[Tensor], noise: Sequence[Tensor | None]
    ) -> tuple[Tensor, Tensor]:
        """(N, inputs, H, W), (N, C, H, W), three (N, W), two noises -> (N, outputs, 2·H, 2·W), (N, C, 2·H, 2·W)"""
        features = self.second(self.doubling(features, styles[0], noise[0]), styles[1], noise[1])
        return features, doubled(image) + self.rgb(features, styles[2])


class StyledConv(nn.Module):
    """A modulated 3×3 convolution, noise of a learned strength, a bias, LeakyReLU."""

    noise: Tensor  # (1, 1, H, W), what every image gets in eval mode where no noise is given

    def __init__(self, inputs: int, outputs: int, style_size: int, grid: Grid, doubles: bool = False) -> None:
        super().__init__()
        self.convolution = ModulatedConv2d(inputs, outputs, 3, style_size, doubles=doubles, gain=GAIN)
        self.strength = nn.Parameter(torch.zeros(()))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.register_buffer("noise", torch.randn(1, 1, *grid))

    def forward(self, features: Tensor, style: Tensor, noise: Tensor | None = None) -> Tensor:
        """(N, inputs, H, W), (N, W), (N, 1, H, W) -> (N, outputs, H, W), or twice the sides."""
        features = self.convolution(features, style)
        if noise is None:
            shape = len(features), 1, *features.shape[2:]
            noise = torch.randn(shape, device=features.device) if self.training else self.noise
        features = features.add_((self.strength * noise).to(features.dtype)).add_(self.bias[:, None, None])
        return F.leaky_relu_(features, SLOPE)


class ToRGB(nn.Module):
    """A modulated 1×1 convolution to the channels of the image, without demodulation."""

    def __init__(self, inputs: int, channels: int, style_size: int) -> None:
        super().__init__()
        self.convolution = ModulatedConv2d(inputs, channels, 1, style_size, demodulates=False)
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, features: Tensor, style: Tensor) -> Tensor:
        """(N, inputs, H, W), (N, W) -> (N, channels, H, W)"""
        return self.convolution(features, style) + self.bias[:, None, None]


class StyleGAN2Discriminator(nn.Module):
    """Blocks that halve the image, a comparison within the batch, two dense layers.

    `residual` adds a bypass to each block; without it the blocks are plain, as in the CIFAR-10 runs of Karras et al.
    (2020, "Training GANs with limited data", appendix). With `classes` the logit is ⟨v_y, φ(x)⟩ / √size: φ is the last
    layer, v_y the normalized vector of the label, behind `label_layers` dense layers. The paper names no such layers;
    the public count of its CIFAR-10 discriminator holds with 8.
    `minibatch` names one of `ganrun.networks.minibatch.MINIBATCH`; stddev compares groups of `minibatch_group` images.
    Without classes, `pack` images may be judged together (`ganrun.networks.packing`).
    `growth` and `growth_share` are those of the generator: it judges the mean of each cell of the newest grid, and each
    grid that an image can start from has a layer of its own that reads it.
    """

    couples_images = False  # its layers may

    def __init__(
        self,
        channels: Setting,
        image_size: Size,
        base_channels: Setting = 512,
        full_until: Setting = 64,
        residual: bool = True,
        minibatch: str = "stddev",
        minibatch_group: Setting | None = 4,
        classes: Whole = 0,
        label_layers: Whole = 0,
        growth: Setting | None = None,
        growth_share: PartOfRun = 0.5,
        pack: Setting = 1,
    ) -> None:
        super().__init__()
        self.pack = checked_pack(pack, classes)
        self.couples_images = pack > 1
        grids, widths = grids_and_widths(image_size, base_channels, full_until)
        (height, width), size = grids[0], widths[0]
        compare = find_minibatch(minibatch)(size, grids[0], minibatch_group)
        self.size = size
        self.layers = nn.Sequential(
            *leaky_conv(pack * channels, widths[-1], 1),
            *(DiscriminatorBlock(inputs, outputs, residual) for inputs, outputs in pairwise(reversed(widths))),
            *compare.layers,
            *leaky_conv(size + compare.channels, size, 3),
            nn.Flatten(),
            *leaky_linear(size * height * width, size),
            EqualLinear(size, size if classes else 1),
        )
        self.label = LabelVector(classes, size) if classes else None
        self.label_layers = leaky_linears(size, size, label_layers if classes else 0, RATE)
        self.growth = None if growth is None else Growth(grids, growth, growth_share)
        # last: without them the first weights of all other layers are the same
        self.from_rgb = nn.ModuleDict(
            {str(grid): nn.Sequential(*leaky_conv(pack * channels, widths[grid], 1)) for grid in self.smaller_grids()}
        )

    def smaller_grids(self) -> range:
        """The numbers of the grids that it begins at before it is whole."""
        return range(0) if self.growth is None else range(self.growth.first, self.growth.last)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """(N, C, H, W) images, (N,) labels where there are classes -> (N / pack,) logits."""
        outputs = self.layers[-1](self.features(images))
        if self.label is None:
            return outputs[:, 0]
        return (outputs * self.label_layers(self.label(labels))).sum(1) / self.size**0.5

    def features(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """(N, C, H, W) images -> (N / pack, size) what the last layer reads."""
        images = packed(images, self.pack)
        if self.growth is None or self.growth.whole:
            return self.layers[:-1](images)
        return self.of_small(self.growth.seen(images), self.growth)

    def of_small(self, images: Tensor, growth: Growth) -> Tensor:
        """(N, C, h, w) images of the newest grid -> (N, size)."""
        stage = growth.stage
        read = self.layers[:2] if stage == growth.last else self.from_rgb[str(stage)]
        features, at = read(images), 2 + growth.last - stage  # the first two layers read the whole image
        if growth.fading:
            smaller = self.from_rgb[str(stage - 1)](pooled(images, 2))
            features, at = growth.blended(smaller, self.layers[at](features)), at + 1
        return self.layers[at:-1](features)


class DiscriminatorBlock(nn.Module):
    """Two 3×3 convolutions, the second one behind a filter with stride 2; with a bypass their sum over √2."""

    couples_images = False

    def __init__(self, inputs: int, outputs: int, residual: bool) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *leaky_conv(inputs, inputs, 3),
            Filter(padding=2),
            *leaky_conv(inputs, outputs, 3, stride=2),
        )
        self.bypass = (
            nn.Sequential(Filter(padding=1, stride=2), EqualConv2d(inputs, outputs, 1, bias=False))
            if residual
            else None
        )

    def forward(self, features: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, H / 2, W / 2)"""
        seen = self.layers(features)
        return seen if self.bypass is None else root_half(seen, self.bypass(features))
