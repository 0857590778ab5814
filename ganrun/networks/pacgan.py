"""PacGAN's networks for points of a plane: dense layers, BatchNorm against maxout (Lin et al., 2018, section 4.1)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from torch import Tensor, nn

from ganrun.common.bounds import Positive, Setting
from ganrun.networks.init import init_normal_
from ganrun.networks.minibatch import find_minibatch
from ganrun.networks.packing import checked_pack, packed
from ganrun.networks.sizes import Size, as_size

MOMENTUM = 0.05  # of BatchNorm's running statistics: PacGAN's


class Maxout(nn.Module):
    """max over k linear pieces, for each output (Goodfellow et al., 2013, section 3)."""

    def __init__(self, inputs: int, outputs: int, pieces: int) -> None:
        super().__init__()
        self.linear, self.outputs = nn.Linear(inputs, outputs * pieces), outputs

    def forward(self, features: Tensor) -> Tensor:
        """(N, inputs) -> (N, outputs)"""
        return self.linear(features).view(len(features), -1, self.outputs).max(1).values


class PointGenerator(nn.Module):
    """Dense layers with BatchNorm and ReLU, and a linear last layer, whose unit is 1/half_width of an image's.

    A plane of ±half_width then has room in [-1, 1], and the layer's numbers are the plane's own, as in the paper.
    """

    def __init__(
        self,
        latent_size: Setting,
        channels: Setting,
        image_size: Size,
        widths: Sequence[Setting] = (400, 400, 400, 400),
        half_width: Positive = 1.0,
    ) -> None:
        super().__init__()
        height, width = as_size(image_size)
        sizes = [latent_size, *widths]
        last = nn.Linear(sizes[-1], channels * height * width)
        self.layers = nn.Sequential(*normalised(sizes), last, nn.Unflatten(1, (channels, height, width)))
        self.half_width = half_width
        init_normal_(self)
        for part in self.modules():
            if isinstance(part, nn.BatchNorm1d):
                nn.init.ones_(part.weight)

    def forward(self, latents: Tensor) -> Tensor:
        """(N, Z) latents -> (N, C, H, W) images around [-1, 1]; a linear layer has no bounds."""
        return self.layers(latents) / self.half_width


def normalised(sizes: Sequence[int]) -> Iterator[nn.Module]:
    for inputs, outputs in pairwise(sizes):
        yield nn.Linear(inputs, outputs, bias=False)
        yield nn.BatchNorm1d(outputs, momentum=MOMENTUM)
        yield nn.ReLU(inplace=True)


class MaxoutDiscriminator(nn.Module):
    """Layers of `pieces` linear pieces each, on the plane's own numbers: ±half_width.

    `minibatch` names one of `ganrun.networks.minibatch.MINIBATCH`, a layer before the last that compares the samples
    of a batch. `pack` images are judged together (`ganrun.networks.packing`).
    """

    couples_images = False

    def __init__(
        self,
        channels: Setting,
        image_size: Size,
        widths: Sequence[Setting] = (200, 200, 200),
        pieces: Setting = 5,
        minibatch: str = "none",
        pack: Setting = 1,
        half_width: Positive = 1.0,
    ) -> None:
        super().__init__()
        self.pack, self.half_width = checked_pack(pack), half_width
        self.couples_images = pack > 1
        height, width = as_size(image_size)
        sizes = [pack * channels * height * width, *widths]
        compare = find_minibatch(minibatch)(sizes[-1], (1, 1))
        self.layers = nn.Sequential(
            nn.Flatten(),
            *(Maxout(inputs, outputs, pieces) for inputs, outputs in pairwise(sizes)),
            nn.Unflatten(1, (sizes[-1], 1, 1)),
            *compare.layers,
            nn.Flatten(),
            nn.Linear(sizes[-1] + compare.channels, 1),
        )
        init_normal_(self)

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) images -> (N / pack,) logits."""
        return self.layers(self.half_width * packed(images, self.pack)).flatten()

    def features(self, images: Tensor) -> Tensor:
        """(N, C, H, W) images -> (N / pack, ...) what the last layer makes the logit of."""
        return self.layers[:-1](self.half_width * packed(images, self.pack))
