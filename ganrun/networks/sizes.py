"""Image sizes: what a user may write, and what fits instead when a network cannot draw it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated

from ganrun.common.bounds import Pixels

Size = Annotated[Pixels | Sequence[Pixels], "a number of pixels, or [height, width]"]
Grid = tuple[int, int]  # height, width


def as_size(size: Size) -> Grid:
    """28 or [28, 32] -> (height, width) in pixels. Raises ValueError when it is neither."""
    sides = tuple(size) if isinstance(size, Sequence) else (size, size)
    if len(sides) != 2 or not all(isinstance(side, int) and side > 0 for side in sides):
        raise ValueError(f"image_size={size!r} must be one side or [height, width] in whole pixels")
    return sides[0], sides[1]


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
