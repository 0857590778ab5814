"""Classifier: a small convolutional network from a picture to the scores of its classes."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from ganrun.common.bounds import Setting, Whole
from ganrun.networks.sizes import Grid, Size, as_size

LAST = 4  # pixels of the short side at which the halving ends


class ConvClassifier(nn.Module):
    """3×3 convolutions with BatchNorm and ReLU that halve the picture until its short side is at most 4 pixels.

    28×28 gives 14, 7 and 4. Then one dense layer. Channels start at `base_channels` and double with each halving, up to
    `max_channels`. Raises ValueError where one of the numbers is below 1.
    """

    def __init__(
        self,
        channels: Setting,
        image_size: Size,
        classes: Whole,
        base_channels: Setting = 16,
        max_channels: Setting = 128,
    ) -> None:
        super().__init__()
        for name, value in {"classes": classes, "base_channels": base_channels, "max_channels": max_channels}.items():
            if value < 1:
                raise ValueError(f"{name}={value} must be at least 1")
        grids = halvings(image_size)
        widths = [channels, *(min(base_channels << k, max_channels) for k in range(len(grids)))]
        layers: list[nn.Module] = []
        for number, (inputs, outputs) in enumerate(pairwise(widths)):
            stride = 2 if number else 1
            layers += [
                nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
                nn.BatchNorm2d(outputs),
                nn.ReLU(inplace=True),
            ]
        height, width = grids[-1]
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(widths[-1] * height * width, classes))

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) images in [-1, 1] -> (N, classes) logits."""
        return self.layers(images)


def halvings(image_size: Size) -> list[Grid]:
    """The sizes a picture goes through, (height, width), halved and rounded up until a side has at most 4 pixels."""
    grids = [as_size(image_size)]
    while min(grids[-1]) > LAST:
        height, width = grids[-1]
        grids.append(((height + 1) // 2, (width + 1) // 2))
    return grids
