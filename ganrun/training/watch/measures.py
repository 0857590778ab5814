"""Numbers that describe pictures and their labels."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ganrun.common.device import in_float64

SIDE = 32  # pixels: larger pictures are averaged down to this side


def flat(images: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, D) float32 pixels, averaged down to at most 32 × 32."""
    images = images.detach().float()
    height, width = images.shape[2:]
    if max(height, width) > SIDE:
        images = F.adaptive_avg_pool2d(images, (min(height, SIDE), min(width, SIDE)))
    return images.flatten(1)


def spread(images: Tensor, labels: Tensor | None = None) -> Tensor:
    """(N, C, H, W) images -> () mean distance of two of them, by `flat`. NaN if there are no two.

    With labels (N,), only two images of the same class are compared.
    """
    distances = torch.cdist(flat(images), flat(images))
    pairs = torch.ones_like(distances, dtype=torch.bool)
    if labels is not None:
        pairs = labels[:, None] == labels
    return distances[pairs.triu(1)].mean()


def colour_shift(images: Tensor, targets: Tensor) -> float:
    """(N, C, H, W) and (M, C, H', W') in [-1, 1] -> how far their mean colours are apart, as a share of the range.

    The root of the mean square over the channels: 0.01 is 2.55 grey levels of 255. Only the sizes of the pictures and
    their number may differ, so unpaired pictures can be compared, too.
    """
    one, other = (in_float64(pictures.detach()).mean((0, 2, 3)) for pictures in (images, targets))
    return ((one - other) / 2).square().mean().sqrt().item()


class Sight(NamedTuple):
    """Whether pictures that look alike have the same label."""

    share: float  # of pictures whose nearest neighbour has the same label
    chance: float  # that two random pictures have the same label
    errors: float  # by how many standard errors the first is above the second


def sight(images: Tensor, labels: Tensor) -> Sight:
    """(N, C, H, W) images, (N,) labels -> how often the nearest neighbour has the same label, compared with chance."""
    distances = torch.cdist(flat(images), flat(images)).fill_diagonal_(torch.inf)
    share = (labels[distances.argmin(1)] == labels).float().mean().item()
    count = len(labels)
    sizes = labels.bincount().float()
    chance = (sizes * (sizes - 1)).sum().item() / (count * (count - 1))
    return Sight(share, chance, (share - chance) / max((chance * (1 - chance) / count) ** 0.5, 1e-9))


def preference(right: Tensor, wrong: Tensor) -> float:
    """(N,) logits with right and with wrong labels -> mean of their difference, divided by its standard deviation."""
    difference = in_float64(right - wrong)
    return (difference.mean() / difference.std().clamp_min(1e-12)).item()
