"""MLP: dense layers only, for images of any size (Goodfellow et al., 2014)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from torch import Tensor, nn

from ganrun.common.bounds import Setting, Share
from ganrun.networks.init import init_glorot_
from ganrun.networks.packing import checked_pack, packed
from ganrun.networks.sizes import Size, as_size


def dense(widths: Sequence[Setting], leak: float, bias: bool = True) -> Iterator[nn.Module]:
    """A linear layer and an activation for each neighbouring pair of widths; leak 0 is a plain ReLU."""
    for inputs, outputs in pairwise(widths):
        yield nn.Linear(inputs, outputs, bias=bias)
        yield nn.LeakyReLU(leak, inplace=True) if leak else nn.ReLU(inplace=True)


class MLPGenerator(nn.Module):
    """Dense layers of growing width, tanh at the end."""

    def __init__(
        self,
        latent_size: Setting,
        channels: Setting,
        image_size: Size,
        widths: Sequence[Setting] = (256, 512, 1024),
        leak: Share = 0.0,
    ) -> None:
        super().__init__()
        height, width = as_size(image_size)
        sizes = [latent_size, *widths]
        self.layers = nn.Sequential(
            *dense(sizes, leak),
            nn.Linear(sizes[-1], channels * height * width),
            nn.Tanh(),
            nn.Unflatten(1, (channels, height, width)),
        )

    def forward(self, latents: Tensor) -> Tensor:
        """(N, Z) latents -> (N, C, H, W) images in [-1, 1]."""
        return self.layers(latents)


class MLPDiscriminator(nn.Module):
    """Dense layers of shrinking width; `bias` is that of all but the last layer.

    `pack` images are judged together (`ganrun.networks.packing`).
    """

    couples_images = False

    def __init__(
        self,
        channels: Setting,
        image_size: Size,
        widths: Sequence[Setting] = (512, 256),
        leak: Share = 0.2,
        bias: bool = True,
        pack: Setting = 1,
    ) -> None:
        super().__init__()
        self.pack = checked_pack(pack)
        self.couples_images = pack > 1
        height, width = as_size(image_size)
        sizes = [pack * channels * height * width, *widths]
        self.layers = nn.Sequential(nn.Flatten(), *dense(sizes, leak, bias), nn.Linear(sizes[-1], 1))

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) images -> (N / pack,) logits."""
        return self.layers(packed(images, self.pack)).flatten()

    def features(self, images: Tensor) -> Tensor:
        """(N, C, H, W) images -> (N / pack, ...) what the last layer makes the logit of."""
        return self.layers[:-1](packed(images, self.pack))


class DeepMLPDiscriminator(MLPDiscriminator):
    """Ten narrowing layers without biases, from Glorot's weights.

    With torch's own first weights the signal dies on the way: the logits of different images lie 1e-5 apart.
    """

    def __init__(
        self,
        channels: Setting,
        image_size: Size,
        widths: Sequence[Setting] = (1024, 512, 256, 128, 64, 32, 16, 8, 4, 2),
        leak: Share = 0.3,
        pack: Setting = 1,
    ) -> None:
        super().__init__(channels, image_size, widths, leak, bias=False, pack=pack)
        init_glorot_(self)
