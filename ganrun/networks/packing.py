"""Packing: a discriminator that judges several images at once, against mode collapse (Lin et al., 2018)."""

from __future__ import annotations

from torch import Tensor


def packed(images: Tensor, pack: int) -> Tensor:
    """(N, C, H, W) images -> (N/m, m·C, H, W) packs: m neighbours in the batch side by side as channels (section 2).

    A discriminator with an argument `pack` calls it first, takes m·C channels and keeps m as `self.pack`. It gives one
    logit for each pack. Raises ValueError where N is not divisible by m.
    """
    if pack == 1:
        return images
    if len(images) % pack:
        raise ValueError(f"pack={pack} does not divide the {len(images)} images of this batch")
    return images.reshape(len(images) // pack, pack * images.shape[1], *images.shape[2:])


def checked_pack(pack: int, classes: int = 0) -> int:
    """Raises ValueError below 1, and above 1 for a discriminator that is told one class of what it judges."""
    if pack < 1:
        raise ValueError(f"pack={pack} must be at least 1: so many images are judged together")
    if pack > 1 and classes:
        raise ValueError(
            f"pack={pack}: the {pack} images of a pack would need one class in common, but classes={classes}: "
            "use model.classes=0 or pack=1"
        )
    return pack
