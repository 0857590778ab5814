"""DCGAN: strided convolutions with BatchNorm and no dense layers, as deep as the image asks (Radford et al., 2016)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from ganrun.common.bounds import Setting
from ganrun.networks.heads import heads_of
from ganrun.networks.init import init_normal_
from ganrun.networks.minibatch import find_minibatch
from ganrun.networks.norms import find_norm
from ganrun.networks.packing import checked_pack, packed
from ganrun.networks.sizes import Grid, Size, as_size, require


def start_grid(image_size: Size, network: str = "DCGAN") -> tuple[Grid, int]:
    """((height, width) of the smallest feature map, how often it doubles on its way to the image).

    The short side starts at 4 to 7 and doubles at least once: 28 = 7·2², 32 = 4·2³, [32, 48] = [4, 6]·2³.
    Raises ValueError when there is no such start.
    """
    height, width = as_size(image_size)
    require((height, width), _fits, f"{network} doubles a grid with a short side of 4 to 7 until it has the image")
    doublings = _doublings(height, width)
    return (height >> doublings, width >> doublings), doublings


def _doublings(height: int, width: int) -> int:
    return (min(height, width) // 4).bit_length() - 1  # the one power of two that leaves 4 to 7 of the short side


def _fits(height: int, width: int) -> bool:
    doublings = _doublings(height, width)
    return doublings >= 1 and height % 2**doublings == 0 and width % 2**doublings == 0


def widths_of(levels: int, base: int, most: int | None) -> list[int]:
    """5 levels from 64 channels, at most 512 -> [64, 128, 256, 512, 512]. Raises ValueError for a cap below 1."""
    if most is not None and most < 1:
        raise ValueError(f"max_channels={most} must be at least 1, or null for no cap")
    return [base << level if most is None else min(base << level, most) for level in range(levels)]


class DCGANGenerator(nn.Module):
    """A transposed convolution from one pixel to the start grid, then one of 4×4, stride 2, for every doubling.

    Channels halve on the way, from base_channels·2^(doublings - 1): 256, 128, 64, C for 32 pixels. None has more than
    max_channels, where that is given. Raises ValueError for sizes that have no start grid.
    """

    def __init__(
        self,
        latent_size: Setting,
        channels: Setting,
        image_size: Size,
        base_channels: Setting = 64,
        max_channels: Setting | None = None,
    ) -> None:
        super().__init__()
        grid, doublings = start_grid(image_size)
        widths = widths_of(doublings, base_channels, max_channels)[::-1]
        layers = [nn.ConvTranspose2d(latent_size, widths[0], grid, bias=False), *_normalised(widths[0])]
        for inputs, outputs in pairwise(widths):
            layers += [nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=False), *_normalised(outputs)]
        self.layers = nn.Sequential(*layers, nn.ConvTranspose2d(widths[-1], channels, 4, 2, 1), nn.Tanh())
        init_normal_(self)

    def forward(self, latents: Tensor) -> Tensor:
        """(N, Z) latents -> (N, C, H, W) images in [-1, 1]."""
        return self.layers(latents[:, :, None, None])


def _normalised(channels: int) -> list[nn.Module]:
    return [nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]


class DCGANDiscriminator(nn.Module):
    """A convolution of 4×4, stride 2, for every halving down to the start grid, then one over that whole grid.

    Channels double on the way, from base_channels up to max_channels, where that is given.
    `norm` names one of `ganrun.networks.norms.NORMS`.
    More than one of `heads` are further outputs of the same features: a logit for each class. `head_widths` are the
    widths of hidden layers that only the further outputs have (`ganrun.networks.heads`).
    `minibatch` names one of `ganrun.networks.minibatch.MINIBATCH`, a layer before the last that compares the images of
    a batch; a penalty then measures each image's gradient among its batch, as is customary for R1.
    `pack` images are judged together (`ganrun.networks.packing`).
    """

    couples_images = False

    def __init__(
        self,
        channels: Setting,
        image_size: Size,
        base_channels: Setting = 64,
        norm: str = "batch",
        heads: Setting = 1,
        minibatch: str = "none",
        max_channels: int | None = None,
        pack: Setting = 1,
        head_widths: Sequence[Setting] = (),
    ) -> None:
        super().__init__()
        self.pack = checked_pack(pack)
        self.couples_images = pack > 1
        grid, halvings = start_grid(image_size)
        normalise = find_norm(norm)
        widths = widths_of(halvings, base_channels, max_channels)
        layers: list[nn.Module] = [nn.Conv2d(pack * channels, widths[0], 4, 2, 1), nn.LeakyReLU(0.2, inplace=True)]
        for inputs, outputs in pairwise(widths):
            layers += [
                nn.Conv2d(inputs, outputs, 4, 2, 1, bias=normalise.bias),
                normalise.layer(outputs),
                nn.LeakyReLU(0.2, inplace=True),
            ]
        compare = find_minibatch(minibatch)(widths[-1], grid)
        last = heads_of(widths[-1] + compare.channels, grid, heads, head_widths, normalise)
        self.layers = nn.Sequential(*layers, *compare.layers, last)
        normalise.init_(self)
        normalise.bound_(self)

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) images -> (N / pack,) logits, or (N / pack, heads)."""
        logits = self.layers(packed(images, self.pack)).flatten(1)
        return logits[:, 0] if logits.shape[1] == 1 else logits

    def features(self, images: Tensor) -> Tensor:
        """(N, C, H, W) images -> (N / pack, ...) what the last layer makes the logit of."""
        return self.layers[:-1](packed(images, self.pack))
