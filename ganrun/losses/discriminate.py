"""Discriminate: the discriminator as losses and penalties call it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Discriminate = Callable[[Tensor], Tensor]  # (N, C, H, W) images -> (N,) logits, or (N, ...) a map of them


class OnePass:
    """A discriminator that does not couple the images of a batch, so reals and fakes may share one forward pass.

    One larger matrix product is quicker than two, and the logits are the same.
    """

    def __init__(self, discriminate: Discriminate) -> None:
        self.discriminate = discriminate

    def __call__(self, images: Tensor) -> Tensor:
        return self.discriminate(images)

    def both(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """(N, C, H, W) reals and (M, C, H, W) fakes -> the logits of each."""
        logits = self.discriminate(torch.cat([real, fake.to(real.dtype)]))
        return logits[: len(real)], logits[len(real) :]
