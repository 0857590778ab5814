"""Draws pictures from a system. Their random inputs depend only on the seed, not on device or batch size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import Tensor

from ganrun.common import images
from ganrun.common.distributed import World
from ganrun.common.errors import UserError
from ganrun.common.seeding import Purpose, mix, reseed
from ganrun.systems.system import Batch, System

USUAL = 64  # pictures, where nobody says how many


def draw(
    system: System,
    count: int | None,
    seed: int,
    labels: list[int] | None = None,
    truncation: float | None = None,
    sweep: str | None = None,
) -> Batch:
    """{name: (count, ...)} random inputs for `render`; count None: 64, or fewer in whole rows of a sweep.

    All inputs are drawn in one call, so that the batch size does not change them. labels: for a class-conditional
    system, the classes to draw. The pictures of a seed with `truncation` are those without it, moved towards the
    middle (see `System.truncated`). sweep: the name of a code; see `swept`. Raises UserError for labels, a truncation
    or a code that the system does not have, and when the inputs do not fit into memory.
    """
    steps = None if sweep is None else sweep_steps(system, sweep, labels)
    count = usual_count(steps) if count is None else count
    reseed(mix(seed, Purpose.SAMPLES))
    try:
        drawn = system.draw(count if steps is None else -(-count // len(steps)), labels)
        drawn = drawn if truncation is None else system.truncated(drawn, truncation)
        return drawn if sweep is None or steps is None else swept(system, drawn, count, sweep, steps)
    except ValueError as error:
        raise UserError(str(error).splitlines()[0]) from None
    except RuntimeError:  # from torch: the inputs do not fit into memory, or their number is beyond 64 bits
        raise UserError(f"{count} pictures do not fit into memory: ask for fewer with n= or per_class=") from None


def usual_count(steps: Tensor | None) -> int:
    """64 pictures; with the (K,) steps of a sweep as many whole rows as 64 pictures have, and at least one."""
    columns = 1 if steps is None else len(steps)
    return max(1, USUAL // columns) * columns


def sweep_steps(system: System, sweep: str, labels: list[int] | None = None) -> Tensor:
    """(K,) the values of this code, one for each column. Raises UserError for a code that the system does not have."""
    codes = system.codes()
    if not codes:
        raise UserError(f"sweep={sweep}: {type(system).__name__} has no codes to sweep, model=infogan has")
    if sweep not in codes:
        raise UserError(f"sweep={sweep}: the codes of this model are {', '.join(codes)}")
    if labels is not None:
        raise UserError(f"labels={labels} and sweep={sweep}: a sweep chooses the codes itself, give one of the two")
    return codes[sweep]


def swept(system: System, drawn: Batch, count: int, sweep: str, steps: Tensor) -> Batch:
    """{name: (rows, ...)} -> {name: (count, ...)}: each row keeps one input, its columns walk the code's (K,) steps."""
    rows = {name: tensor.repeat_interleave(len(steps), 0)[:count] for name, tensor in drawn.items()}
    return system.with_code(rows, sweep, steps.repeat(len(next(iter(drawn.values()))))[:count])


def render(
    system: System, inputs: Mapping[str, Tensor], batch_size: int, world: World | None = None
) -> Iterator[Tensor]:
    """{name: (N, ...)} inputs -> (batch, C, H, W) pictures as a data set stores them (`images.stored`), batch by batch.

    They are on the CPU and in order.

    The batches are distributed over the ranks of `world`; they are the same as with a single process. Rank 0 receives
    all batches, and every other rank receives none: it calls `help_to_draw`.
    Raises UserError when the system does not render one picture (C, H, W) for each input.
    """
    world = world or World()
    count = len(next(iter(inputs.values())))
    starts = range(0, count, batch_size)
    own = render_batches(system, inputs, batch_size, starts[world.rank :: world.size])
    return world.collected(own, [min(batch_size, count - start) for start in starts])


def help_to_draw(pictures: Iterator[Tensor]) -> str:
    """Called on every rank except rank 0: draws this rank's batches, which `render` sends to rank 0. Returns ""."""
    for _ in pictures:
        pass
    return ""


@torch.inference_mode()
def render_batches(
    system: System, inputs: Mapping[str, Tensor], batch_size: int, starts: Iterable[int]
) -> Iterator[Tensor]:
    """The (batch, C, H, W) uint8 pictures of the batches that begin at `starts`."""
    device = device_of(system)
    for start in starts:
        part = {name: tensor[start : start + batch_size] for name, tensor in inputs.items()}
        count = len(next(iter(part.values())))
        if count == 1:  # libraries have kernels for one picture, which add in another order: two of it, one is kept
            part = {name: tensor.repeat(2, *[1] * (tensor.ndim - 1)) for name, tensor in part.items()}
        drawn = system.render({name: tensor.to(device) for name, tensor in part.items()})
        if count == 1 and isinstance(drawn, Tensor) and len(drawn) == 2:
            drawn = drawn[:1]
        if not isinstance(drawn, Tensor) or drawn.ndim != 4 or len(drawn) != count or 0 in drawn.shape:
            what = list(drawn.shape) if isinstance(drawn, Tensor) else type(drawn).__name__
            raise UserError(f"ckpt: its model makes {what} of {count} inputs, not as many pictures (N, C, H, W)")
        yield images.stored(drawn)


def device_of(system: System) -> torch.device:
    """The device of the system's weights; the CPU for a system without weights."""
    return next((weight.device for weight in system.parameters()), torch.device("cpu"))
