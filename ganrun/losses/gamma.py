"""The default gamma of the R1 penalty. It does not import torch, because Hydra calls it while it composes a config."""

from __future__ import annotations

from collections.abc import Sequence


def default_gamma(image_size: int | Sequence[int], batch_size: int, rule_from: int = 128) -> float:
    """Gamma for images of `image_size` pixels.

    Below `rule_from` × `rule_from` pixels it is 10 (Mescheder et al., 2018). From there on it is
    2e-4 · H · W / batch_size (Karras et al., 2020). Only the area H · W counts, because |∇D|² is a sum over the pixels.
    image_size: one number, or (height, width). batch_size: the images of a step on all devices together.
    Raises ValueError when one of them is below 1.
    """
    height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
    if min(height, width, batch_size) < 1:
        raise ValueError(f"gamma needs an image size and a batch size of at least 1, got {image_size} and {batch_size}")
    pixels = height * width
    return 10.0 if pixels < rule_from**2 else 2e-4 * pixels / batch_size
