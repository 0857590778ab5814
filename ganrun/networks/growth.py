"""Progressive growing: networks start with few pixels, and each doubling is faded in (Karras et al., 2018)."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganrun.common.bounds import At
from ganrun.networks.sizes import Grid

UNIT = 2**16  # parts of a level

PartOfRun = Annotated[float, At(above=0, below=1)]


class Growth(nn.Module):
    """How far a network has grown: a level, which is a function of the run's progress (section 2 and appendix A).

    At level k a generator ends, and a discriminator begins, at grid k. Between k and k + 1 the grid k + 1 is faded in:
    its weight α is the fraction of the level. From the grid whose short side has `start` pixels to the last one, phases
    of equal length alternate: a grid stays as it is, then the next one is faded in. The last fade ends at `share` of
    the run. A network is whole until `at_progress` is called. Small pictures are shown at full size by copying pixels,
    so that the mean of those copies gives the small picture back.

    Raises ValueError where no grid but the last has `start` pixels.
    """

    of_each_rank = True  # a function of the step: ranks need not exchange it
    # () int64, in parts of UNIT. Not a float, because the average of the weights copies whole numbers as they are.
    level: Tensor

    def __init__(self, grids: Sequence[Grid], start: int, share: float) -> None:
        super().__init__()
        sides = [min(grid) for grid in grids]
        if start not in sides[:-1]:
            *others, last = (str(side) for side in sides[:-1])
            fits = f"{', '.join(others)} or {last}" if others else last
            raise ValueError(
                f"growth={start}: pictures of {sides[-1]} pixels can start at {fits} pixels; null: no growth"
            )
        if not 0 < share < 1:
            raise ValueError(f"growth_share={share} must lie between 0 and 1: the part of the run in which it grows")
        self.first, self.last, self.share = sides.index(start), len(grids) - 1, share
        self.least = 0  # in parts of UNIT
        self.register_buffer("level", torch.tensor(self.last * UNIT))
        self.follow(self.last * UNIT)

    def at_progress(self, progress: float) -> None:
        """Called before each step, 0 at the run's start and 1 at the end of its schedules.

        A level only grows: a run that is resumed and made longer waits until it is due again.
        """
        phases = 2 * (self.last - self.first)
        doublings, phase = divmod(progress / self.share * phases, 2)  # the first half of each waits, the second fades
        units = round(min(self.last, self.first + doublings + max(0.0, phase - 1)) * UNIT)
        units = max(self.least, units)
        self.level.fill_(units)
        self.follow(units)

    def never_below(self) -> None:
        """From now on no level is below the present one."""
        self.least = int(self.level)

    def follow(self, units: int) -> None:
        """Sets what chooses the layers. These are Python numbers, because no step may wait for the device."""
        below, part = divmod(units, UNIT)
        self.stage, self.fading = below + (part > 0), part > 0  # the number of the newest grid, and whether it is faded

    @property
    def whole(self) -> bool:
        """Whether the network is what it is without growth."""
        return self.stage == self.last and not self.fading

    @property
    def graph_key(self) -> Hashable:
        """Steps with equal keys run the same operations: α is read on the device."""
        return self.stage, self.fading

    def blended(self, older: Tensor, newer: Tensor) -> Tensor:
        """(1 - α) · older + α · newer (figure 2)."""
        alpha = (self.level % UNIT) / UNIT
        return (1 - alpha) * older + alpha * newer

    def shown(self, older: Tensor, image: Tensor) -> Tensor:
        """(N, C, h / 2, w / 2), (N, C, h, w): images of the two newest grids -> (N, C, H, W) what is seen of them.

        `older` is not read where nothing fades.
        """
        if self.fading:
            image = self.blended(repeated(older, 2), image)
        return repeated(image, self.pixels)

    def seen(self, images: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, h, w): the mean of each cell of the newest grid.

        |∇D|² by the pixels of the whole image is smaller than by the cells, by the number of pixels in one of them: R1
        is weaker while pictures are small.
        """
        return pooled(images, self.pixels)

    def faded(self, images: Tensor) -> Tensor:
        """(N, C, H, W) pictures -> (N, C, H, W), as a generator of this level would show them (figure 2)."""
        if self.whole:
            return images
        small = self.seen(images)
        return self.shown(pooled(small, 2) if self.fading else small, small)

    @property
    def pixels(self) -> int:
        """The side of a cell of the newest grid, in pixels of the whole image."""
        return 1 << (self.last - self.stage)

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *arguments: Any) -> None:
        super()._load_from_state_dict(state_dict, prefix, *arguments)
        if self.level.is_meta:
            return
        units = int(self.level)
        if self.first * UNIT <= units <= self.last * UNIT:
            return self.follow(units)
        errors: list[str] = arguments[-1]
        errors.append(f"{prefix}level={units} is none that this network grows through")


def repeated(images: Tensor, times: int) -> Tensor:
    """(N, C, H, W) -> (N, C, times·H, times·W): each pixel becomes a square."""
    return F.interpolate(images, scale_factor=times, mode="nearest") if times > 1 else images


def pooled(images: Tensor, pixels: int) -> Tensor:
    """(N, C, H, W) -> (N, C, H / pixels, W / pixels): the mean of each square."""
    return F.avg_pool2d(images, pixels) if pixels > 1 else images
