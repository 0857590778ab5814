"""Coupling: whether the output of a network for an image depends on the other images of the batch."""

from __future__ import annotations

from torch import nn
from torch.nn.utils.parametrize import is_parametrized


def couples_images(network: nn.Module) -> bool:
    """False only when no part of the network couples images.

    These parts do not: the layers of torch, except BatchNorm, and classes that declare `couples_images = False`.
    Spectral normalization counts as coupling: each forward pass updates its power iteration, so one forward pass over
    reals and fakes gives another result than two passes.
    """
    return not all(_is_independent(part) for part in network.modules())


def _is_independent(part: nn.Module) -> bool:
    """Whether the part, without its submodules, treats each image of the batch by itself."""
    if type(part).__module__.startswith("torch.nn."):
        return not isinstance(part, nn.modules.batchnorm._BatchNorm) and not is_parametrized(part)
    # image_by_image: the earlier name, which networks of users may still declare
    return not getattr(part, "couples_images", not getattr(part, "image_by_image", False))
