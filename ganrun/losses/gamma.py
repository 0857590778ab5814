"""R1's default gamma; free of torch, so that Hydra can resolve it while it composes."""

from __future__ import annotations

from collections.abc import Sequence


def default_gamma(image_size: int | Sequence[int], batch_size: int, rule_from: int = 128) -> float:
    """10 below `rule_from` px (Mescheder et al., 2018), 2e-4 * pixels / batch from there on (Karras et al., 2020).

    `image_size` is in pixels, one number or (height, width): a picture that is not square counts as the square of
    the same area, because |∇D|² sums over its pixels. `batch_size` is the whole batch, all devices together.
    Raises ValueError when either is below 1.
    """
    height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
    if min(height, width, batch_size) < 1:
        raise ValueError(f"gamma needs an image size and a batch size of at least 1, got {image_size} and {batch_size}")
    pixels = height * width
    return 10.0 if pixels < rule_from**2 else 2e-4 * pixels / batch_size
