"""Chains: degradations made of others, in a fixed or random order, for some pictures, or one of several."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction

import torch
from torch import Tensor, nn

from ganrun.common.bounds import Count, Pixels, Share
from ganrun.data.damage import Damage, check_share

WHOLE = Fraction(1)


class Chain(Damage):
    """All `parts`, one after another. shuffled: in a random order, new for each group of pictures.

    Raises ValueError when there are no parts, and when a random order has two parts that change the size.
    """

    def __init__(self, parts: Mapping[str, Damage], shuffled: bool = False) -> None:
        super().__init__()
        if not parts:
            raise ValueError("parts is empty: name at least one part, each with its _target_")
        self.names, self.parts, self.shuffled = list(parts), nn.ModuleList(parts.values()), shuffled
        sizing = [name for name, part in parts.items() if changes_size(part)]
        if shuffled and len(sizing) > 1:
            raise ValueError(
                f"shuffled=true, but {' and '.join(sizing)} change the size: in a random order only one part may "
                "change the size; move the others before this chain"
            )

    @property
    def scale(self) -> int:  # type: ignore[override]
        share = self.share_after(WHOLE, None)
        if share is None or share.numerator != 1:
            raise ValueError("a Chain that ends at a random size is a part: put it into ganrun.data.chains.Degradation")
        return share.denominator

    def share_after(self, share: Fraction | None, goal: Fraction | None) -> Fraction | None:
        for part in self.damages():
            share = part.share_after(share, goal)
        return share

    def damages(self) -> list[Damage]:
        return [part for part in self.parts if isinstance(part, Damage)]

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) images in [-1, 1] -> (N, C, H/scale, W/scale) damaged images."""
        return self.within(images, (images.shape[2] // self.scale, images.shape[3] // self.scale))

    def within(self, images: Tensor, goal: tuple[int, int]) -> Tensor:
        parts = self.damages()
        for number in torch.randperm(len(parts)).tolist() if self.shuffled else range(len(parts)):
            images = parts[number].within(images, goal)
        return images


class Degradation(Chain):
    """A chain from the clean picture to the source, whose sides are 1/factor of it.

    factor: 1 for restoration, 2 or 4 for super-resolution. group: so many pictures of a batch share the factor, the
    filter and the order of each part; all other numbers are drawn for each picture. Raises ValueError when the parts do
    not end at 1/factor.
    """

    def __init__(
        self, parts: Mapping[str, Damage], factor: Pixels = 1, group: Count = 1, shuffled: bool = False
    ) -> None:
        super().__init__(parts, shuffled)
        self.factor, self.group = factor, group
        goal = Fraction(1, factor)
        if (share := self.share_after(WHOLE, goal)) != goal:
            ends = "at random sizes" if share is None else f"at {share} of the target's sides"
            raise ValueError(
                f"its parts end {ends}, but factor={factor} needs {goal}: "
                "end with a part _target_: ganrun.data.resizing.FinalSize"
            )

    @property
    def scale(self) -> int:  # type: ignore[override]
        return self.factor

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) images in [-1, 1] -> (N, C, H/factor, W/factor) damaged images."""
        goal = images.shape[2] // self.factor, images.shape[3] // self.factor
        return torch.cat([self.within(group, goal) for group in images.split(self.group)])


class Sometimes(Damage):
    """`part` for each picture with the probability p. Raises ValueError when the part changes the size."""

    def __init__(self, part: Damage, p: Share = 0.5) -> None:
        super().__init__()
        check_share("p", p)
        check_keeps_size("part", part)
        self.part, self.p = part, p

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) images in [-1, 1] -> (N, C, H, W), some of them damaged."""
        return on_some(self.part, images, torch.rand(len(images)) < self.p)


class OneOf(Damage):
    """One of `parts` for each picture. shares: the probability of each, which are divided by their sum.

    Raises ValueError when a part changes the size, and for shares that do not fit the parts.
    """

    def __init__(self, parts: Mapping[str, Damage], shares: Mapping[str, Share]) -> None:
        super().__init__()
        for name, part in parts.items():
            check_keeps_size(f"parts.{name}", part)
        self.shares = probabilities(shares, parts)
        self.parts = nn.ModuleList(parts.values())

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) images in [-1, 1] -> (N, C, H, W) damaged images."""
        choice = choices(self.shares, len(images))
        for number, part in enumerate(self.parts):
            images = on_some(part, images, choice == number)
        return images


def on_some(part: Callable[[Tensor], Tensor], images: Tensor, chosen: Tensor) -> Tensor:
    """(N, C, H, W) images with `part` at those where `chosen`, (N,) bool on the CPU, is true. Others cost nothing."""
    if chosen.all():
        return part(images)
    if not chosen.any():
        return images
    places = chosen.nonzero().flatten().to(images.device)
    return images.index_copy(0, places, part(images[places]))


def probabilities(shares: Mapping[str, float], parts: Mapping[str, object]) -> Tensor:
    """(parts,) float32, their sum 1, in the order of `parts`. Raises ValueError for other names, or a sum of 0."""
    if shares.keys() != parts.keys():
        raise ValueError(f"shares names {', '.join(shares) or 'nothing'}, but the parts are {', '.join(parts)}")
    for name, share in shares.items():
        check_share(f"shares.{name}", share)
    if not sum(shares.values()):
        raise ValueError(f"shares={dict(shares)}: at least one must be above 0")
    found = torch.tensor([float(shares[name]) for name in parts])
    return found / found.sum()


def choices(shares: Tensor, count: int) -> Tensor:
    """(parts,) probabilities -> (count,) numbers of parts. torch.multinomial takes seven times as long for so few."""
    return torch.bucketize(torch.rand(count), shares.cumsum(0)[:-1], right=True)


def changes_size(part: Damage) -> bool:
    return part.share_after(WHOLE, WHOLE / 2) != WHOLE


def check_keeps_size(name: str, part: Damage) -> None:
    if changes_size(part):
        raise ValueError(
            f"{name} changes the size of some pictures of a batch, which must stay alike: make it a part of a Chain"
        )
