"""Draws pictures from a system: a seed gives the same pictures on any device."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import Tensor

from ganrun.common import images
from ganrun.common.distributed import World
from ganrun.common.errors import UserError
from ganrun.common.seeding import Purpose, mix, reseed
from ganrun.systems.system import System


def draw(system: System, count: int, seed: int, labels: list[int] | None = None) -> dict[str, Tensor]:
    """All inputs at once, so that neither batch size nor device changes what a seed draws. Raises UserError."""
    reseed(mix(seed, Purpose.SAMPLES))
    try:
        return system.draw(count, labels)
    except ValueError as error:
        raise UserError(str(error).splitlines()[0]) from None
    except RuntimeError:  # torch: more numbers than fit into memory, or than it can count
        raise UserError(f"{count} pictures do not fit into memory: ask for fewer with n= or per_class=") from None


def render(
    system: System, inputs: Mapping[str, Tensor], batch_size: int, world: World | None = None
) -> Iterator[Tensor]:
    """Inputs -> (batch, C, H, W) as a data set stores them (`images.stored`), a batch at a time, in order.

    The ranks of `world` take turns and draw the batches that one process would. The first rank gets all of them, the
    others none (see `help_to_draw`).
    """
    world = world or World()
    count = len(next(iter(inputs.values())))
    starts = range(0, count, batch_size)
    own = render_batches(system, inputs, batch_size, starts[world.rank :: world.size])
    return world.collected(own, [min(batch_size, count - start) for start in starts])


def help_to_draw(pictures: Iterator[Tensor]) -> str:
    """For ranks that write nothing: draw the rank's share for the first rank. Returns "", the rank's answer."""
    for _ in pictures:
        pass
    return ""


@torch.inference_mode()
def render_batches(
    system: System, inputs: Mapping[str, Tensor], batch_size: int, starts: Iterable[int]
) -> Iterator[Tensor]:
    device = device_of(system)
    for start in starts:
        part = {name: tensor[start : start + batch_size] for name, tensor in inputs.items()}
        drawn = system.render({name: tensor.to(device) for name, tensor in part.items()})
        count = len(next(iter(part.values())))
        if not isinstance(drawn, Tensor) or drawn.ndim != 4 or len(drawn) != count or 0 in drawn.shape:
            what = list(drawn.shape) if isinstance(drawn, Tensor) else type(drawn).__name__
            raise UserError(f"ckpt: its model makes {what} of {count} inputs, not as many pictures (N, C, H, W)")
        yield images.stored(drawn)


def device_of(system: System) -> torch.device:
    return next((weight.device for weight in system.parameters()), torch.device("cpu"))
