"""Whether a network couples the images of a batch: whether an image's output depends on the other images."""

from __future__ import annotations

from torch import nn
from torch.nn.utils.parametrize import is_parametrized


def couples_images(network: nn.Module) -> bool:
    """False only where every part is known not to: torch's layers, and classes that declare `couples_images = False`.

    BatchNorm couples. A layer with spectral normalization counts too: each forward pass moves its estimate, so one
    pass over reals and fakes is not the two passes.
    """
    return not all(_known_not_to(part) for part in network.modules())


def _known_not_to(part: nn.Module) -> bool:
    if type(part).__module__.startswith("torch.nn."):
        return not isinstance(part, nn.modules.batchnorm._BatchNorm) and not is_parametrized(part)
    # image_by_image: what networks of users declared in earlier versions
    return not getattr(part, "couples_images", not getattr(part, "image_by_image", False))
