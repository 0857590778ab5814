"""ADA's pixel blitting and geometric transforms: one affine map for each image (Karras et al., 2020, appendix B)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ganrun.augmentations.chance import Chances, at_least_float32, normal, uniform, where_chosen
from ganrun.augmentations.pixels import look_up, places
from ganrun.augmentations.resampling import SYM6, fold, resample
from ganrun.common.bounds import Share

BLIT_SHIFT = 0.125  # of the sides, either way, in whole pixels
SCALE = 0.2  # standard deviation of log2 of a factor of size
SHIFT = 0.125  # standard deviation, of the sides


class AdaGeometry(Chances):
    """Mirror, quarter turns, whole-pixel shifts; scaling, rotation, stretching, fractional shifts.

    Rotation is applied before and after stretching with probability 1 − √(1 − p) each, so that one of the two acts with
    probability p. Outside of an image is its mirror. On oblong images quarter turns are left out.
    """

    taps: Tensor  # (12,) a buffer: a tensor made from numbers in a recorded CUDA graph would be refused

    def __init__(
        self,
        flip: Share = 1.0,
        quarter_turns: Share = 1.0,
        shift: Share = 1.0,
        scale: Share = 1.0,
        rotate: Share = 1.0,
        stretch: Share = 1.0,
        fractional_shift: Share = 1.0,
    ) -> None:
        super().__init__(
            flip=flip,
            quarter_turns=quarter_turns,
            shift=shift,
            scale=scale,
            rotate=rotate,
            stretch=stretch,
            fractional_shift=fractional_shift,
        )
        self.register_buffer("taps", torch.tensor(SYM6), persistent=False)

    def forward(self, images: Tensor, p: Tensor) -> Tensor:
        """(N, C, H, W), () p -> (N, C, H, W)"""
        count, height, width = len(images), *images.shape[2:]
        if self.on("flip", "quarter_turns", "shift"):  # whole pixels: nothing is filtered
            images = blit(images, self.blits(count, height, width, p))
        if self.on("scale", "rotate", "stretch", "fractional_shift"):
            maps = self.maps(count, height, width, p)
            moves = (maps != torch.eye(3, device=maps.device)).flatten(1).any(1)
            images = where_chosen(moves, images, self.resampled, maps)
        return images

    def resampled(self, images: Tensor, maps: Tensor) -> Tensor:
        return resample(at_least_float32(images), maps, self.taps).to(images.dtype)

    def pick(self, name: str, p: Tensor, values: Tensor, otherwise: float) -> Tensor:
        """(N,) the values for the images that a transform changes, `otherwise` for all others."""
        return torch.where(self.chosen(name, p, len(values)), values, torch.full_like(values, otherwise))

    def blits(self, count: int, height: int, width: int, p: Tensor) -> Tensor:
        """(N, 3, 3) from a place (x, y, 1) in the result to the place in the image, in pixels from the middle.

        The inverse of each transform, in the paper's order: what acts first on an image is the first factor.
        """

        def steps(low: int, high: int) -> Tensor:
            return torch.randint(low, high + 1, (count,), device=p.device).float()

        mirror = self.pick("flip", p, 1 - 2 * steps(0, 1), 1)
        quarters = self.pick("quarter_turns", p, steps(0, 3), 0) * (height == width)
        chosen = self.chosen("shift", p, count)
        x, y = ((uniform(count, -BLIT_SHIFT, BLIT_SHIFT, p) * side).round() * chosen for side in (width, height))
        turned = rotation(quarters * (math.pi / 2)).round()  # exactly 0, 1 and −1
        return scaling(mirror, torch.ones_like(mirror)) @ turned @ translation(x, y)

    def maps(self, count: int, height: int, width: int, p: Tensor) -> Tensor:
        """The same for the transforms that need pixels between pixels."""
        size = self.pick("scale", p, normal(count, SCALE, p).exp2(), 1)
        once = 1 - (1 - p * self.strengths["rotate"]).sqrt()
        longer = self.pick("stretch", p, normal(count, SCALE, p).exp2(), 1)
        chosen = self.chosen("fractional_shift", p, count)
        x, y = (normal(count, SHIFT, p) * side * chosen for side in (width, height))
        first, second = rotation(self.turn(count, once)), rotation(self.turn(count, once))
        return scaling(size, size) @ first @ scaling(longer, 1 / longer) @ second @ translation(x, y)

    def turn(self, count: int, probability: Tensor) -> Tensor:
        """(N,) radians, 0 where an image is not chosen."""
        angle = uniform(count, -math.pi, math.pi, probability)
        return angle * (torch.rand(count, device=probability.device) < probability)


def blit(images: Tensor, maps: Tensor) -> Tensor:
    """(N, C, H, W), (N, 3, 3) that lead from pixels to pixels -> (N, C, H, W), the mirror where nothing was."""
    height, width = images.shape[2:]
    rows, columns = places(images)
    y, x = rows - (height - 1) / 2, columns - (width - 1) / 2
    found = maps @ torch.stack(torch.broadcast_tensors(x, y, torch.ones_like(x))).flatten(1)  # (N, 3, H·W)
    across, down = found[:, 0] + (width - 1) / 2, found[:, 1] + (height - 1) / 2
    shape = (len(images), height, width)
    return look_up(
        images, fold(down.round().long(), height).view(shape), fold(across.round().long(), width).view(shape)
    )


def scaling(x: Tensor, y: Tensor) -> Tensor:
    """(N,), (N,) -> (N, 3, 3)"""
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    return rows([x, zero, zero], [zero, y, zero], [zero, zero, one])


def rotation(angle: Tensor) -> Tensor:
    """(N,) radians -> (N, 3, 3)"""
    zero, one = torch.zeros_like(angle), torch.ones_like(angle)
    cosine, sine = angle.cos(), angle.sin()
    return rows([cosine, -sine, zero], [sine, cosine, zero], [zero, zero, one])


def translation(x: Tensor, y: Tensor) -> Tensor:
    """(N,), (N,) pixels -> (N, 3, 3)"""
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    return rows([one, zero, x], [zero, one, y], [zero, zero, one])


def rows(*entries: list[Tensor]) -> Tensor:
    """Three rows of three (N,) -> (N, 3, 3)"""
    return torch.stack([torch.stack(row, 1) for row in entries], 1)
