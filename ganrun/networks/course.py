"""The course's DCGAN for 28×28: upsampling and 3×3 convolutions, as its Keras text has them."""

from __future__ import annotations

from torch import Tensor, nn

from ganrun.common.bounds import Setting, Share
from ganrun.networks.doubling import DoublingConv2d
from ganrun.networks.init import init_glorot_
from ganrun.networks.norms import find_norm
from ganrun.networks.sizes import Size, cells


def as_in_keras_(network: nn.Module) -> None:
    """Keras's first weights, and the text's BatchNorm: momentum 0.8 there is 0.2 here, epsilon 1e-3."""
    init_glorot_(network)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum, module.eps = 0.2, 1e-3


class CourseGenerator(nn.Module):
    """Dense to a quarter of the size, then two doublings; biases stay under BatchNorm, as in the text."""

    def __init__(self, latent_size: Setting, channels: Setting, image_size: Size, base_channels: Setting = 64) -> None:
        super().__init__()
        height, width = cells(image_size, 4, "CourseGenerator")
        wide = 2 * base_channels
        self.layers = nn.Sequential(
            nn.Linear(latent_size, wide * height * width),
            nn.ReLU(inplace=True),
            nn.Unflatten(1, (wide, height, width)),
            *_doubling(wide, wide),
            *_doubling(wide, base_channels),
            nn.Conv2d(base_channels, channels, 3, padding=1),
            nn.Tanh(),
        )
        as_in_keras_(self)

    def forward(self, latents: Tensor) -> Tensor:
        """(N, Z) latents -> (N, C, H, W) images in [-1, 1]."""
        return self.layers(latents)


def _doubling(inputs: int, outputs: int) -> list[nn.Module]:
    return [
        nn.Identity(),  # the text's upsampling, now in the next layer: checkpoints know layers by their numbers
        DoublingConv2d(inputs, outputs),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    ]


class CourseDiscriminator(nn.Module):
    """Three halvings with dropout, then one convolution more: 28 -> 14 -> 7, padded to 8, -> 4 -> 4.

    The padding comes before the norm, as in the text, and only where a quarter of the image has an odd side.
    `norm` names one of `ganrun.networks.norms.NORMS`.
    """

    couples_images = False

    def __init__(
        self,
        channels: Setting,
        image_size: Size,
        base_channels: Setting = 32,
        norm: str = "batch",
        dropout: Share = 0.25,
    ) -> None:
        super().__init__()
        height, width = cells(image_size, 4, "CourseDiscriminator")
        even = nn.ZeroPad2d((0, width % 2, 0, height % 2))
        normalise = find_norm(norm)
        base, wide, wider, widest = (base_channels << k for k in range(4))

        def activation() -> list[nn.Module]:
            return [nn.LeakyReLU(0.2, inplace=True), nn.Dropout(dropout)]

        self.layers = nn.Sequential(
            *_halving(channels, base), *activation(),
            *_halving(base, wide), even, normalise.layer(wide), *activation(),
            *_halving(wide, wider), normalise.layer(wider), *activation(),
            nn.Conv2d(wider, widest, 3, padding=1), normalise.layer(widest), *activation(),
            nn.Flatten(),
            nn.Linear(widest * ((height + 1) // 2) * ((width + 1) // 2), 1),
        )  # fmt: skip
        as_in_keras_(self)
        normalise.bound_(self)

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) images -> (N,) logits."""
        return self.layers(images).flatten()

    def features(self, images: Tensor) -> Tensor:
        """(N, C, H, W) images -> (N, ...) what the last layer makes the logit of."""
        return self.layers[:-1](images)


def _halving(inputs: int, outputs: int) -> list[nn.Module]:
    # what "same" means in Keras for an even side: the spare row and column go below and to the right
    return [nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(inputs, outputs, 3, stride=2)]
