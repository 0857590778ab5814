"""ADA: random transforms whose probability follows how much the discriminator overfits (Karras et al., 2020)."""

from __future__ import annotations

from typing import Annotated

import torch
import torch.distributed as dist
from torch import Tensor

from ganrun.augmentations.ada_colour import AdaColour
from ganrun.augmentations.ada_corruption import AdaCorruption
from ganrun.augmentations.ada_filter import AdaFilter
from ganrun.augmentations.ada_geometry import AdaGeometry
from ganrun.augmentations.augmentation import Augmentation
from ganrun.common.bounds import At, Count, Positive, Share


class ADA(Augmentation):
    """18 transforms in five groups, each applied to an image with probability p times its own strength.

    p adapts (section 3): r_t = E[sign D(x)] over reals is near 1 where the discriminator has learnt them by heart.
    Where an image has a map of logits, sign D(x) is the mean of their signs. At every `every`-th turn of the
    discriminator p moves up where r_t is above `target`, else down, so far that it gets from 0 to 1 in `kimg` thousand
    reals. `kimg=null` keeps p as it is. p stays in [0, 1] and is saved.

    Strengths are shares of p; 0 switches a transform off. The paper's choice for small data sets is "bgc": blitting,
    geometry and colour. Raises ValueError for a number out of its range.
    """

    p: Tensor  # () probability
    signs: Tensor  # () sum of sign D(x) since p moved last, a mean over the ranks
    reals: Tensor  # () how many reals that sum is of, on one rank
    turns: Tensor  # () turns of the discriminator since p moved last

    def __init__(
        self,
        geometry: AdaGeometry | None = None,
        colour: AdaColour | None = None,
        filtering: AdaFilter | None = None,
        corruption: AdaCorruption | None = None,
        p: Share = 0.0,
        target: Annotated[float, At(-1, 1)] = 0.6,
        kimg: Positive | None = 500,
        every: Count = 4,
    ) -> None:
        super().__init__()
        if not 0 <= p <= 1 or not -1 <= target <= 1:
            raise ValueError(f"p={p} must lie in [0, 1] and target={target} in [-1, 1]")
        if every < 1 or (kimg is not None and kimg <= 0):
            raise ValueError(f"every={every} must be at least 1, and kimg={kimg} above 0 or null")
        self.groups = torch.nn.ModuleList(
            group for group in (geometry, colour, filtering, corruption) if group is not None
        )
        self.target, self.kimg, self.every = target, kimg, every
        self.register_buffer("p", torch.tensor(float(p)))
        for name in ("signs", "reals", "turns"):
            self.register_buffer(name, torch.zeros(()))

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)"""
        for group in self.groups:
            images = group(images, self.p)
        return images

    def observe(self, real_logits: Tensor) -> None:
        """(N, ...): p moves by the number of images, not by that of their logits."""
        count = len(real_logits)
        self.signs += real_logits.detach().sign().reshape(count, -1).mean(1).sum()
        self.reals += count

    @torch.no_grad()
    def after_turn(self) -> None:
        """No branch on a tensor: the device is not waited for."""
        self.turns += 1
        if self.kimg is None:
            return
        due = (self.turns >= self.every).to(self.p.dtype)
        ranks = dist.get_world_size() if dist.is_initialized() else 1
        if ranks > 1:  # this turn's signs are those of one rank so far, and all ranks must move p alike
            dist.all_reduce(self.signs)
            self.signs /= ranks
        r_t = self.signs / self.reals.clamp(min=1)
        step = (r_t - self.target).sign() * self.reals * ranks / (1000 * self.kimg)
        self.p.add_(due * step).clamp_(0, 1)
        for since in (self.signs, self.reals, self.turns):
            since.mul_(1 - due)
