"""Few-shot GAN: skip-layer excitation, and a discriminator that is also an autoencoder (Liu et al., 2021)."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from ganrun.common.bounds import Setting
from ganrun.networks.dcgan import start_grid
from ganrun.networks.decoder import GLU, Decoder, crop_places, cropped, doubled_glu
from ganrun.networks.norms import Norm, find_norm
from ganrun.networks.sizes import Grid, Size, as_size, require
from ganrun.networks.skip_excitation import SLOPE, SkipExcitation, skip_pairs

DECODED = 4  # doublings of a decoder at most: 8×8 features become 128×128 pixels, as in the paper
WIDEST = 16  # times base_channels at the start grid
JUDGED = 4  # the side of the last convolution: 8×8 features become a map of 5×5 logits


def grid_of(image_size: Size) -> tuple[Grid, int]:
    """(the start grid, how often it doubles). Raises ValueError as `start_grid` does, and below 16 pixels."""
    require(as_size(image_size), lambda h, w: min(h, w) >= 16, "the few-shot networks need sides of 16 pixels or more")
    return start_grid(image_size, "the few-shot network")


def widths_of(doublings: int, base: int) -> list[int]:
    """Channels of each map, from the start grid on: 16·base, then half for each doubling. They are our choice."""
    return [max(1, WIDEST * base >> level) for level in range(doublings + 1)]


class FewShotGenerator(nn.Module):
    """A transposed convolution to the start grid, a doubling with one convolution for each level, and the gates.

    Each convolution has BatchNorm and a gated linear unit (GLU). `SkipExcitation` scales the larger maps: see
    `skip_pairs`. `spectral` normalises every weight. Left out: the paper's second output, an image of 128×128 for the
    discriminator, and any noise beside the latents.
    Raises ValueError for sizes that have no start grid, and below 16 pixels.
    """

    def __init__(
        self,
        latent_size: Setting,
        channels: Setting,
        image_size: Size,
        base_channels: Setting = 64,
        spectral: bool = True,
    ) -> None:
        super().__init__()
        grid, doublings = grid_of(image_size)
        widths, norm = widths_of(doublings, base_channels), find_norm("batch")
        self.first = nn.Sequential(
            nn.ConvTranspose2d(latent_size, 2 * widths[0], grid, bias=False), nn.BatchNorm2d(2 * widths[0]), GLU()
        )
        self.blocks = nn.ModuleList(doubled_glu(inputs, outputs, norm) for inputs, outputs in pairwise(widths))
        self.pairs = skip_pairs(doublings)
        self.gates = nn.ModuleDict(
            {str(high): SkipExcitation(widths[low], widths[high], low, grid) for high, low in self.pairs.items()}
        )
        self.last = nn.Sequential(nn.Conv2d(widths[-1], channels, 3, padding=1), nn.Tanh())
        norm.init_(self)
        find_norm("spectral" if spectral else "none").bound_(self)

    def forward(self, latents: Tensor) -> Tensor:
        """(N, Z) latents -> (N, C, H, W) images in [-1, 1]."""
        maps = [self.first(latents[:, :, None, None])]
        for level, block in enumerate(self.blocks, 1):
            features = block(maps[-1])
            if level in self.pairs:
                features = self.gates[str(level)](maps[self.pairs[level]], features)
            maps.append(features)
        return self.last(maps[-1])


class DownBlock(nn.Module):
    """The mean of two branches: [4×4 of stride 2, norm, act, 3×3, norm, act] and [mean of 2×2, 1×1, norm, act]."""

    couples_images = False

    def __init__(self, inputs: int, outputs: int, norm: Norm) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(inputs, outputs, 4, 2, 1, bias=norm.bias),
            *activated(outputs, norm),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=norm.bias),
            *activated(outputs, norm),
        )
        self.skip = nn.Sequential(
            nn.AvgPool2d(2), nn.Conv2d(inputs, outputs, 1, bias=norm.bias), *activated(outputs, norm)
        )

    def forward(self, features: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, H/2, W/2)"""
        return (self.layers(features) + self.skip(features)) / 2


def activated(channels: int, norm: Norm) -> list[nn.Module]:
    return [norm.layer(channels), nn.LeakyReLU(SLOPE, inplace=True)]


class Encoded(NamedTuple):
    """Two maps of a discriminator's features: the last, of 8×8, and the one before it, of 16×16, from 32 pixels on."""

    larger: Tensor
    last: Tensor


class FewShotDiscriminator(nn.Module):
    """Halvings down to 8×8 (4×4 for 16 pixels), a map of logits, and two decoders for its features (section 3.2).

    The first halving is a 4×4 convolution, the others are `DownBlock`s; the widths are the generator's.
    One decoder draws the whole image from the last map. The other draws a part of it, from a crop of the map before
    that has half its sides. Images above 128 pixels (64 for the part) are drawn smaller.
    `norm` names one of `ganrun.networks.norms.NORMS`; `spectral` normalises every weight that makes the logits.
    Raises ValueError for sizes that have no start grid, and below 16 pixels.
    """

    couples_images = False

    def __init__(
        self,
        channels: Setting,
        image_size: Size,
        base_channels: Setting = 64,
        norm: str = "batch",
        spectral: bool = True,
    ) -> None:
        super().__init__()
        (height, width), doublings = grid_of(image_size)
        self.halvings = max(2, doublings - 1)
        extra = doublings - self.halvings  # of the last map's doublings of the start grid
        self.grid = (height << extra, width << extra)
        normalise = find_norm(norm)
        widths = widths_of(doublings, base_channels)[extra:doublings][::-1]
        self.first = nn.Sequential(nn.Conv2d(channels, widths[0], 4, 2, 1), nn.LeakyReLU(SLOPE, inplace=True))
        self.blocks = nn.ModuleList(DownBlock(inputs, outputs, normalise) for inputs, outputs in pairwise(widths))
        self.head = nn.Sequential(
            nn.Conv2d(widths[-1], widths[-1], 1, bias=normalise.bias),
            *activated(widths[-1], normalise),
            nn.Conv2d(widths[-1], 1, JUDGED),
        )
        bounded = find_norm("spectral" if spectral else norm)
        bounded.init_(self)
        bounded.bound_(self)
        self.decode_whole = Decoder(widths[-1], channels, min(DECODED, self.halvings), normalise)
        self.decode_part = Decoder(widths[-2], channels, min(DECODED, self.halvings - 1), normalise)
        for decoder in (self.decode_whole, self.decode_part):
            normalise.init_(decoder)

    def forward(self, images: Tensor, encoded: bool = False) -> Tensor | tuple[Tensor, Encoded]:
        """(N, C, H, W) images -> (N, 1, h, w) a map of logits; with `encoded` also the features that decoders read."""
        maps = self.encode(images)
        logits = self.head(maps.last)
        return (logits, maps) if encoded else logits

    def encode(self, images: Tensor) -> Encoded:
        maps = [self.first(images)]
        for block in self.blocks:
            maps.append(block(maps[-1]))
        return Encoded(maps[-2], maps[-1])

    def features(self, images: Tensor) -> Tensor:
        """(N, C, H, W) images -> (N, C', 8, 8) what the last layers make the logits of."""
        return self.encode(images).last

    def reconstructions(self, images: Tensor, maps: Encoded) -> list[tuple[Tensor, Tensor]]:
        """(N, C, H, W) images, their features -> (drawn, wanted) of the whole and of a random part of each image.

        The parts are drawn from torch's random state.
        """
        part, wanted = self.parts(images, maps.larger)
        return [
            (self.decode_whole(maps.last), shrunk(images, self.halvings - DECODED)),
            (self.decode_part(part), wanted),
        ]

    def parts(self, images: Tensor, larger: Tensor) -> tuple[Tensor, Tensor]:
        """-> crops of half the sides of the larger features, and the same crops of the images, shrunk if need be."""
        height, width = self.grid  # of a crop: the larger map has twice these sides
        first = crop_places(len(images), (height + 1, width + 1), images.device)
        images = shrunk(images, self.halvings - 1 - DECODED)
        scale = images.shape[2] // larger.shape[2]
        return cropped(larger, first, height, width), cropped(images, scale * first, scale * height, scale * width)


def shrunk(images: Tensor, halvings: int) -> Tensor:
    """(N, C, H, W) -> (N, C, H / 2^halvings, W / 2^halvings), the mean of the pixels; as they are for 0 or less."""
    return F.avg_pool2d(images, 2**halvings) if halvings > 0 else images
