"""Path length regularization: equal steps in style space are to change the image equally much (Karras et al., 2020)."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ganrun.common.bounds import Count, Decay, Share, Weight
from ganrun.losses.penalties import autocasting


class Path(NamedTuple):
    """The term of the generator's objective, and the mean length that was measured, () each."""

    term: Tensor
    length: Tensor


class PathLength(nn.Module):
    """`weight` · E (|J_wᵀ y| − a)² (equation 4), J_w the derivative of the image by its styles, y ~ N(0, 1) per pixel.

    |J_wᵀ y|² is the mean over the layers of a style and over the H·W pixels of y, so a `weight` of 2 is the
    γ = ln 2 / (r² (ln r − ln 2)) of appendix B for r×r pixels, with the 2 (log₂ r − 1) layers that the generator has.
    a is the running mean of the lengths; it starts at 0 and is saved. At every `every`-th turn of the generator the
    term is `every` times as strong (appendix B). It looks at this `share` of as many fakes as the batch has images, and
    is computed in float32.
    """

    average: Tensor  # a, ()

    def __init__(self, weight: Weight = 2.0, every: Count = 4, decay: Decay = 0.99, share: Share = 0.5) -> None:
        super().__init__()
        self.weight, self.every, self.decay, self.share = weight, every, decay, share
        self.register_buffer("average", torch.zeros(()))

    def active(self, turn: int) -> bool:
        """Whether the generator's turn of this number, from 0, has the term."""
        return self.weight > 0 and turn % self.every == 0

    def count(self, images: int) -> int:
        """How many images it looks at, at least one."""
        return max(1, math.ceil(self.share * images))

    def forward(self, synthesis: Callable[[Tensor], Tensor], styles: Tensor) -> Path:
        """`synthesis` makes (N, C, H, W) images of (N, layers, W) styles, with a graph."""
        exact = autocasting(styles)
        with torch.autocast(styles.device.type, enabled=False) if exact else contextlib.nullcontext():
            lengths = path_lengths(synthesis, styles.float())
        mean = lengths.detach().mean()
        self.average.lerp_(mean, 1 - self.decay)
        return Path(self.weight * self.every * (lengths - self.average.clone()).square().mean(), mean)


def path_lengths(synthesis: Callable[[Tensor], Tensor], styles: Tensor) -> Tensor:
    """(N, layers, W) styles -> (N,) |J_wᵀ y| with a graph: J_wᵀ y is the gradient of Σ image · y."""
    images = synthesis(styles)
    y = torch.randn_like(images) / math.sqrt(math.prod(images.shape[2:]))
    (gradient,) = torch.autograd.grad((images * y).sum(), styles, create_graph=True)
    # 1e-8 keeps the root's gradient finite where the images do not depend on the styles
    return (gradient.square().sum(2).mean(1) + 1e-8).sqrt()
