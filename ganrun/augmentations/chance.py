"""Chance: which images of a batch a transform of ADA changes, and how strength 0 switches it off."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ganrun.augmentations.augmentation import at_most_1


class Chances(nn.Module):
    """Transforms with a strength each, a share of the common probability p. Raises ValueError outside of [0, 1]."""

    def __init__(self, **strengths: float) -> None:
        super().__init__()
        at_most_1(**strengths)
        self.strengths = strengths

    def on(self, *names: str) -> bool:
        """Whether any of these transforms is switched on."""
        return any(self.strengths[name] for name in names)

    def chosen(self, name: str, p: Tensor, count: int) -> Tensor:
        """() p -> (count,) bool: the images that the transform changes."""
        return torch.rand(count, device=p.device) < p * self.strengths[name]


Change = Callable[[Tensor, Tensor], Tensor]


def where_chosen(chosen: Tensor, images: Tensor, change: Change, numbers: Tensor) -> Tensor:
    """(N,) bool, (N, C, H, W), (N, ...) numbers of each image -> change(images, numbers) where chosen, else the images.

    A CPU computes the chosen images only. A GPU computes all images, because the CPU would have to wait until the GPU
    says how many are chosen.
    """
    compute = of_the_chosen if images.device.type == "cpu" else of_all
    return compute(chosen, images, change, numbers)


def of_the_chosen(chosen: Tensor, images: Tensor, change: Change, numbers: Tensor) -> Tensor:
    """`where_chosen`, which changes the chosen images and no other."""
    index = chosen.nonzero()[:, 0]
    return images.index_copy(0, index, change(images[index], numbers[index])) if len(index) else images


def of_all(chosen: Tensor, images: Tensor, change: Change, numbers: Tensor) -> Tensor:
    """`where_chosen`, which changes all images and keeps the results of the chosen ones."""
    return torch.where(chosen[:, None, None, None], change(images, numbers), images)


def normal(count: int, std: float, like: Tensor) -> Tensor:
    """(count,) from N(0, std²), float32."""
    return std * torch.randn(count, device=like.device)


def uniform(count: int, low: float, high: float, like: Tensor) -> Tensor:
    """(count,) from U(low, high), float32."""
    return low + (high - low) * torch.rand(count, device=like.device)


def at_least_float32(images: Tensor) -> Tensor:
    """bfloat16 cannot tell neighbouring pixels, or small changes of colour, apart."""
    return images if images.dtype == torch.float64 else images.float()
