"""Discriminate: the discriminator as a function from images to logits, which losses and penalties call."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Discriminate = Callable[[Tensor], Tensor]  # (N, C, H, W) images -> (N,) logits, or (N, ...) a map of them


class OnePass:
    """Marks a discriminator in which the logit of an image does not depend on the other images of the batch.

    Reals and fakes can then share one forward pass. The logits are the same, and one pass is faster than two.
    """

    def __init__(self, discriminate: Discriminate) -> None:
        self.discriminate = discriminate

    def __call__(self, images: Tensor) -> Tensor:
        return self.discriminate(images)

    def both(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """(N, C, H, W) reals and (M, C, H, W) fakes -> (N,) and (M,) logits, or maps of logits."""
        logits = self.discriminate(torch.cat([real, fake.to(real.dtype)]))
        return logits[: len(real)], logits[len(real) :]
