"""How large a part of a picture the network gets at once: planned from memory, halved when memory runs out."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from ganrun.commands.apply.tiling import ALIGNED
from ganrun.common.errors import UserError
from ganrun.common.untrusted import printable
from ganrun.systems.translation import PictureToPicture
from ganrun.training.planning.activations import LiveBytes, with_fake_tensors
from ganrun.training.planning.memory import GAPS, LIBRARY

log = logging.getLogger("ganrun")

AUTO = "auto"
SHARE = 0.5  # of the memory that is free: the pictures that are read and written need some, and so do other programs
LARGEST = 8192  # pixels of a side: pictures of more are refused when they are opened
NORMS = "pictures were cut into tiles, and each tile has its own statistics for the instance norms of this network"
UNKNOWN = 256  # pixels of a side, where the memory of the network cannot be counted


@dataclass
class TilePlan:
    """The largest part of a picture that the network gets at once. The networks of all devices share it.

    side: pixels of a side of a tile; None: no limit. by_area true: a picture is cut above side² pixels. by_area false:
    it is cut where a side exceeds `side`. least: no tile is smaller. None as `side` is never halved: the user wants
    whole pictures.
    """

    side: int | None
    by_area: bool = False
    least: int = ALIGNED
    norms: bool = False  # whether the network normalises by statistics of the picture, as instance norm does
    cut: bool = False  # whether a picture was cut
    notes: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def tile_for(self, height: int, width: int) -> int | None:
        """The side of the tiles for a picture of this size; None: it is not cut."""
        if self.side is None or self.longest(height, width) <= self.side:
            return None
        self.cut = True
        return self.side

    def lines(self) -> list[str]:
        """What the user should know at the end."""
        if self.cut and self.norms:
            return [*self.notes, NORMS]
        return self.notes

    def longest(self, height: int, width: int) -> int:
        return math.isqrt(height * width - 1) + 1 if self.by_area else max(height, width)

    def holds(self, pixels: int) -> bool:
        """Whether this many pixels of small pictures may be translated together."""
        return self.side is None or pixels <= self.side**2

    def halve(self, height: int, width: int, used: int | None, name: str) -> None:
        """After memory ran out for a picture that was cut into tiles of `used` pixels, or was whole where that is None.

        Raises UserError where no smaller tile can be tried.
        """
        if self.side is None:
            raise UserError("there is too little memory for the whole picture: leave out tile=null")
        before = used or self.longest(height, width)
        if before <= self.least:
            raise UserError(f"there is too little memory, even for tiles of {before} pixels")
        half = max(self.least, before // 2 // ALIGNED * ALIGNED)
        with self.lock:
            if half < self.side:
                self.side = half
                self.notes = [
                    *self.notes[:1],
                    f"memory ran out at {printable(name)}: tiles of {half} pixels from there on",
                ]


def plan_tiles(asked: int | str | None, overlap: int, stride: int, largest: Callable[[], int | None]) -> TilePlan:
    """The plan for tile=N|auto|null. `largest` estimates the side for tile=auto. Raises UserError for too small a tile.

    stride: the pixels of one pixel at the network's bottom, see `stride_of`.
    """
    least = max(stride, 2 * overlap, ALIGNED)
    if isinstance(asked, int) and asked < stride:
        raise UserError(f"tile={asked} is too small for this network, which halves pictures down: at least {stride}")
    if asked != AUTO:
        return TilePlan(None if asked is None else int(asked), least=least)
    step = math.lcm(ALIGNED, stride)
    side = (largest() or UNKNOWN) // step * step
    return TilePlan(max(least, min(side, LARGEST)), by_area=True, least=least)


def has_instance_norms(system: nn.Module) -> bool:
    """Whether a layer normalises by the mean and the variance of the picture itself."""
    layers = (nn.InstanceNorm1d, nn.InstanceNorm2d, nn.GroupNorm)
    return any(isinstance(part, layers) for part in system.modules())


def stride_of(system: nn.Module) -> int:
    """How many pixels of the picture become one at the bottom of the network: its own `stride`; 1 for others."""
    own = (part for part in system.modules() if not type(part).__module__.startswith("torch."))
    strides = [part.stride for part in own if isinstance(getattr(part, "stride", None), int)]
    return max((stride for stride in strides if isinstance(stride, int)), default=1)


def largest_side(on_meta: PictureToPicture, channels: int, direction: str | None, free: int) -> int | None:
    """The side of the largest square picture whose translation fits into SHARE of `free` bytes; None if unknown.

    The memory is a part that the weights cause and a part for each pixel. Two counts with fake tensors give both.
    """
    stride = stride_of(on_meta)
    small = 2 * max(64, stride)
    first, second = (peak_of(on_meta, channels, direction, side) for side in (small, 2 * small))
    if first is None or second is None or second <= first:
        return None
    each = (second - first) / (3 * small**2)
    room = SHARE * free / (1 + GAPS) - LIBRARY - max(0.0, first - each * small**2)
    return math.isqrt(max(0, int(room / each)))


def peak_of(on_meta: PictureToPicture, channels: int, direction: str | None, side: int) -> int | None:
    """Peak bytes of the tensors that translating one side × side picture makes, counted without computing anything."""
    try:
        with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
            system: PictureToPicture = with_fake_tensors(on_meta).eval()  # type: ignore[assignment]
            counted = LiveBytes()
            with counted:
                picture: Tensor = torch.empty(1, channels, side, side)
                system.translate(picture, direction)
            return counted.peak
    except Exception as error:  # a network that reads values of tensors may raise anything here
        log.debug("memory: a picture cannot be translated with fake tensors: %s", error)
        return None
