"""The network on one device: pictures in, pictures out, in smaller tiles when memory runs out."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import torch
from torch import Tensor

from ganrun.commands.apply.files import Read, for_network, from_network
from ganrun.commands.apply.tile_plan import TilePlan
from ganrun.commands.apply.tiling import NoCanvas, enlarged_by, in_tiles
from ganrun.common.errors import is_out_of_memory
from ganrun.systems.translation import PictureToPicture

AUTO = "auto"
TOGETHER = {"cuda": 2**21}  # pixels of small pictures that keep a device busy; more of them are no faster
ON_CPU = 2**16
MOST = 32  # small pictures together


class Network:
    """Translates pictures with the copy of the system on one device.

    Small pictures of one size are translated together, by twos, fours, …, where that gives the same numbers to the
    last bit: the first batch of each kind is also translated one by one, and compared.
    """

    def __init__(
        self,
        system: PictureToPicture,
        device: torch.device,
        plan: TilePlan,
        overlap: int,
        direction: str | None,
        batch_size: int | str,
        channels: int,
    ) -> None:
        self.system, self.device, self.plan = system, device, plan
        self.overlap, self.direction, self.batch_size = overlap, direction, batch_size
        self.pictures = 0  # that this device has translated
        self.scale = scale_of(system, channels, device, plan.least, direction)
        self.same: dict[tuple[int, ...], bool] = {}  # shape of a batch -> whether it gives what its pictures give alone

    def most(self, shape: Sequence[int]) -> int:
        """How many pictures of this shape, (1, C, h, w), may be given to `translate` together."""
        height, width = shape[2:]
        pixels = TOGETHER.get(self.device.type, ON_CPU)
        asked = max(1, min(MOST, pixels // (height * width))) if self.batch_size == AUTO else int(self.batch_size)
        while asked > 1 and not self.plan.holds(asked * height * width):
            asked //= 2
        return asked

    @torch.inference_mode()
    def translate(self, names: Sequence[str], pictures: Sequence[Read]) -> list[Tensor]:
        """The outputs, (1, C', H, W) on the CPU each. The pictures have one shape. `names` are for messages.

        Raises ValueError for a picture that the network refuses, and UserError where memory is too small for any tile.
        """
        drawn = self.together(pictures) if len(pictures) > 1 else None
        if drawn is None:
            drawn = [self.alone(name, picture) for name, picture in zip(names, pictures, strict=True)]
        self.pictures += len(pictures)
        return [from_network(each, picture) for each, picture in zip(drawn, pictures, strict=True)]

    def together(self, pictures: Sequence[Read]) -> list[Tensor] | None:
        """The outputs of one batch; None if it does not give what its pictures give alone, or needs too much memory."""
        if len({picture.pixels.dtype for picture in pictures}) > 1:
            return None
        batch = torch.cat([picture.pixels for picture in pictures])
        shape = tuple(batch.shape)
        if self.plan.tile_for(*shape[2:]) is not None or not self.same.get(shape, True):
            return None
        try:
            drawn = self.network_output(batch, None)
            if shape not in self.same:
                alone = torch.cat([self.network_output(picture.pixels, None) for picture in pictures])
                self.same[shape] = torch.equal(alone, drawn)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            self.same[shape] = False
        return [*drawn.split(1)] if self.same[shape] else None

    def alone(self, name: str, picture: Read) -> Tensor:
        """The output of one picture, float. Halves the tiles for as long as memory runs out."""
        height, width = picture.pixels.shape[2:]
        side, notes = self.plan.side, self.plan.notes
        while True:
            tile = self.plan.tile_for(height, width)
            try:
                return self.network_output(picture.pixels, tile)
            except NoCanvas:  # then it was not the tiles
                self.plan.side, self.plan.notes = side, notes
                raise
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
            if self.device.type == "cuda":  # here the tensors of the failed call are freed
                torch.cuda.empty_cache()
            self.plan.halve(height, width, tile, name)

    def network_output(self, pixels: Tensor, tile: int | None) -> Tensor:
        def network(part: Tensor) -> Tensor:
            return self.system.translate(for_network(part.to(self.device)), self.direction)

        return in_tiles(network, pixels, tile, self.overlap)


@torch.inference_mode()
def scale_of(system: PictureToPicture, channels: int, device: torch.device, side: int, direction: str | None) -> int:
    """How many times larger the outputs are, by a small picture; 1 where the system does not take it."""
    for each in (side, 2 * side):
        with contextlib.suppress(Exception):  # a network of the user's own may raise anything; its pictures will say it
            blank = torch.zeros(1, channels, each, each, device=device)
            return enlarged_by(lambda part: system.translate(part, direction), blank)[1]
    return 1
