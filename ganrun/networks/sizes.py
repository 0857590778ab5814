"""Image sizes: what a user may write, and what fits instead when a network cannot draw it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated

from ganrun.common.bounds import Pixels

Size = Annotated[Pixels | Sequence[Pixels], "a number of pixels, or [height, width]"]
Grid = tuple[int, int]  # height, width

MODEL_SIZES = ("small", "paper")  # values of model.size
FROM_PAPER = 64  # pixels
UNET_LEVELS = 8  # of pix2pix's network for 256 pixels (Isola et al., 2017, section 6.1)


def as_size(size: Size) -> Grid:
    """28 or [28, 32] -> (height, width) in pixels. Raises ValueError when it is neither."""
    sides = tuple(size) if isinstance(size, Sequence) else (size, size)
    if len(sides) != 2 or not all(isinstance(side, int) and side > 0 for side in sides):
        raise ValueError(f"image_size={size!r} must be one side or [height, width] in whole pixels")
    return sides[0], sides[1]


def usual_size(image_size: Size) -> str:
    """The default of `model.size`: the paper's network from 64 pixels of the short side on, below that the small one.

    The papers' networks are made for 64 to 512 pixels. On smaller images they cost much and gain little.
    Raises ValueError for what is no size.
    """
    return "paper" if min(as_size(image_size)) >= FROM_PAPER else "small"


def levels_of_unet(image_size: Size, to_one_pixel: bool = False) -> int:
    """How often a U-Net halves the short side, at most 8 times: down to 2 or 3 pixels, 16 -> 3 and 128 -> 6.

    With `to_one_pixel` a side that is a power of two goes down to 1 pixel as in pix2pix's paper: 128 -> 7, 256 -> 8.
    Raises ValueError for a side below 4.
    """
    short = min(as_size(image_size))
    if short < 4:
        raise ValueError(f"image_size={image_size}: UNetGenerator needs sides of at least 4 pixels")
    one_more = to_one_pixel and short & (short - 1) == 0
    return min(UNET_LEVELS, short.bit_length() - 2 + one_more)


def cells(size: Size, pixels: int, network: str) -> Grid:
    """(height, width) in cells of `pixels` pixels. Raises ValueError when a side is not a whole number of them."""
    grid = as_size(size)
    require(grid, lambda h, w: h % pixels == 0 and w % pixels == 0, f"{network} needs sides divisible by {pixels}")
    return grid[0] // pixels, grid[1] // pixels


def require(grid: Grid, fits: Callable[[int, int], bool], rule: str) -> None:
    """Raises ValueError with the rule and the nearest sizes that `fits` accepts, unless it accepts this one."""
    if not fits(*grid):
        near = [_written(near) for direction in (-1, 1) if (near := _nearest(grid, direction, fits))]
        override = near[0].replace(" ", "")
        raise ValueError(
            f"image_size={_written(grid)}: {rule}; nearest: {' or '.join(near)} (dataset.image_size={override})"
        )


def _nearest(grid: Grid, direction: int, fits: Callable[[int, int], bool]) -> Grid | None:
    """The size that fits with the fewest pixels added to (or cut from) the two sides; a square stays square."""
    height, width = grid
    for change in range(1, 2 * max(grid) + 16):
        for part in range(change + 1):
            tall, wide = height + direction * part, width + direction * (change - part)
            if min(tall, wide) > 0 and (tall == wide or height != width) and fits(tall, wide):
                return tall, wide
    return None


def _written(grid: Grid) -> str:
    return str(grid[0]) if grid[0] == grid[1] else f"[{grid[0]}, {grid[1]}]"
