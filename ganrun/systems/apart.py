"""apart: whether a discriminator looks at each image by itself, so that two batches may go through it as one."""

from __future__ import annotations

from torch import nn
from torch.nn.utils.parametrize import is_parametrized


def sees_images_apart(network: nn.Module) -> bool:
    """True where that is known of every part: torch's layers, and classes that say so by `image_by_image = True`.

    One pass over reals and fakes is then the two passes, in larger products. Not so with BatchNorm, and with spectral
    norm, whose estimate moves at each pass.
    """
    return all(known(part) for part in network.modules())


def known(part: nn.Module) -> bool:
    if type(part).__module__.startswith("torch.nn."):
        return not isinstance(part, nn.modules.batchnorm._BatchNorm) and not is_parametrized(part)
    return bool(getattr(part, "image_by_image", False))
