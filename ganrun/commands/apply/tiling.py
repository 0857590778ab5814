"""Applies a network to a large picture in overlapping tiles, and blends them so that no seam is visible."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ganrun.common.errors import is_out_of_memory

# Tiles start at multiples of a power of two, at most this one. So the strided layers of a network sample a tile at the
# same pixels as the whole picture.
ALIGNED = 32

Network = Callable[[Tensor], Tensor]


class NoCanvas(MemoryError):
    """There is too little memory for the output itself: smaller tiles would not help."""


def in_tiles(network: Network, picture: Tensor, tile: int | None, overlap: int) -> Tensor:
    """(1, C, H, W) -> (1, C', s·H, s·W) on the CPU, by a fully convolutional `network` that enlarges s times.

    Tiles have at most `tile` × `tile` pixels. The network gets one at a time, so that memory does not grow with the
    picture. If `tile` is None or the picture is small enough, it is not cut. Two neighbouring tiles share `overlap`
    pixels. A quarter of these is dropped at each end, because a network's output is wrong near the border of a tile. In
    the half between, one tile fades linearly into the other. Raises ValueError for a network that does not enlarge by a
    whole factor, and NoCanvas where there is no room for the output.
    """
    height, width = picture.shape[2:]
    if tile is None or max(height, width) <= tile:
        return enlarged_by(network, picture)[0].float().cpu()
    canvas: Tensor | None = None
    rows, columns = (spans(side, tile, overlap) for side in (height, width))
    for (top, bottom), down in zip(rows, shares(rows, height, overlap), strict=True):
        for (left, right), across in zip(columns, shares(columns, width, overlap), strict=True):
            drawn, s = enlarged_by(network, picture[:, :, top:bottom, left:right])
            if canvas is None:
                canvas = blank(drawn.shape[1], s * height, s * width)
            weights = down.repeat_interleave(s)[:, None] * across.repeat_interleave(s)
            canvas[:, :, s * top : s * bottom, s * left : s * right] += drawn.float().cpu() * weights
    assert canvas is not None
    return canvas


def blank(channels: int, height: int, width: int) -> Tensor:
    try:
        return torch.zeros(1, channels, height, width)
    except Exception as error:
        if is_out_of_memory(error):
            raise NoCanvas from None
        raise


def enlarged_by(network: Network, picture: Tensor) -> tuple[Tensor, int]:
    """(output of the network for a picture, s: how many times larger it is). Raises ValueError for no whole s."""
    drawn = network(picture)
    (height, width), made = picture.shape[2:], tuple(drawn.shape[2:])
    s = made[0] // height
    if made != (s * height, s * width) or not s:
        raise ValueError(f"the model makes {made[1]}x{made[0]} pixels from {width}x{height}, which is no whole factor")
    return drawn, s


def spans(side: int, tile: int, overlap: int) -> list[tuple[int, int]]:
    """[start, end) of the tiles along one side: 100 in tiles of 40 that share 8 -> (0, 40), (32, 72), (64, 100)."""
    step = tile - overlap
    aligned = min(step & -step, ALIGNED)
    last = max(0, -(-(side - tile) // aligned) * aligned)  # the last tile may be shorter, but it is aligned, too
    return [*((start, start + tile) for start in range(0, last, step)), (last, side)]


def shares(tiles: list[tuple[int, int]], side: int, overlap: int) -> list[Tensor]:
    """The weight of each tile at each of its pixels. At every pixel, the weights of all tiles add up to 1."""
    ramp = ((torch.arange(overlap) + 0.5 - overlap / 4) / max(overlap / 2, 1)).clamp(0, 1)
    weights = [torch.ones(end - start) for start, end in tiles]
    for weight in weights[1:]:
        weight[:overlap] *= ramp
    for weight in weights[:-1]:
        weight[len(weight) - overlap :] *= ramp.flip(0)
    total = torch.zeros(side)
    for (start, end), weight in zip(tiles, weights, strict=True):
        total[start:end] += weight
    return [weight / total[start:end] for (start, end), weight in zip(tiles, weights, strict=True)]
