"""Estimates how much memory and disk a run is going to need, before it starts."""

from __future__ import annotations

import math
import weakref
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ganrun.common.images import SMALLEST_CELL
from ganrun.systems.system import Batch, Turn
from ganrun.training.hooks.checkpoints import Checkpoints
from ganrun.training.hooks.grids import EARLY, Grids
from ganrun.training.hooks.hook import Hook
from ganrun.training.hooks.tensorboard import TensorBoard

FLOATS = 4  # float32 copies of a grid's pictures until they are uint8
LISTED = 100  # bytes for each tensor in the list of tensors in a checkpoint, besides its name
PNG = 1.5  # bytes in a PNG for each value of the pictures: small pictures are enlarged, and noise does not compress


def nbytes(tensors: Iterable[Tensor]) -> int:
    """Bytes of all elements. Tensors on the meta device count too, as if they had memory."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def moments(optimizers: Mapping[str, Optimizer]) -> int:
    """Bytes of the state of optimizers whose weights are on the meta device.

    Each optimizer makes one step there, so its weights get gradients. An optimizer that cannot step on the meta device
    counts as Adam: two moments for each weight.
    """
    total = 0
    for optimizer in optimizers.values():
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        for group in optimizer.param_groups:
            group["fused"] = None  # fused kernels do not run on the meta device; their state has the same size
        for weight in weights:
            weight.grad = torch.empty_like(weight)
        try:
            optimizer.step()
        except (RuntimeError, NotImplementedError):
            total += 2 * nbytes(weights)
            continue
        values = [value for state in optimizer.state.values() for value in state.values()]
        total += nbytes(value for value in values if isinstance(value, Tensor))
    return total


def state_sizes(system: nn.Module, average: nn.Module, optimizers: Mapping[str, Optimizer]) -> tuple[int, int]:
    """(bytes in memory between two steps, bytes of a checkpoint), for a system on the meta device.

    Both count weights and buffers, the state of the optimizers, and `average`, the module whose weights are averaged.
    Memory also holds a gradient for each weight.
    """
    stored = nbytes(system.state_dict().values()) + nbytes(average.state_dict().values()) + moments(optimizers)
    gradients = nbytes(
        weight for one in optimizers.values() for group in one.param_groups for weight in group["params"]
    )
    return stored + gradients, stored


def list_size(system: nn.Module, average: nn.Module, optimizers: Mapping[str, Optimizer]) -> int:
    """Bytes of the list of tensors in a checkpoint. Call `state_sizes` first: it makes the state of the optimizers."""
    names = [*system.state_dict(), *average.state_dict()]
    states = [state for optimizer in optimizers.values() for state in optimizer.state.values()]
    tensors = len(names) + sum(len(state) for state in states)
    return LISTED * tensors + sum(len(name) for name in set(names))


class SavedTensors:
    """Counts the bytes that autograd saves for backward passes: those saved `now`, and the most so far.

    `known` are weights and buffers. They do not count, because they stay in memory in any case. Tensors that share a
    storage count once.
    """

    def __init__(self, known: Iterable[Tensor]) -> None:
        self.known = {tensor.untyped_storage().data_ptr() for tensor in known}
        self.users: dict[int, int] = {}
        self.now = self.most = 0

    @contextmanager
    def counted(self) -> Iterator[None]:
        with torch.autograd.graph.saved_tensors_hooks(self.pack, lambda kept: kept.tensor):
            yield

    def pack(self, tensor: Tensor) -> Kept:
        kept, storage = Kept(tensor), tensor.untyped_storage()
        place, size = storage.data_ptr(), storage.nbytes()
        if place not in self.known:
            if not self.users.get(place):
                self.now += size
                self.most = max(self.most, self.now)
            self.users[place] = self.users.get(place, 0) + 1
            weakref.finalize(kept, self.release, place, size)
        return kept

    def release(self, place: int, size: int) -> None:
        self.users[place] -= 1
        if not self.users[place]:
            self.now -= size


class Kept:
    """One saved tensor. When autograd frees this object, `SavedTensors` subtracts its bytes."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor.detach()  # a tensor that its own graph saves would never be freed otherwise


def saved_bytes(system: nn.Module, turns: Iterable[Turn], batch: Batch, bf16: bool) -> int:
    """Peak bytes that autograd saves for the backward passes of `turns`. They run on a real `batch`."""
    saves = SavedTensors([*system.parameters(), *system.buffers()])
    with saves.counted(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        for turn in turns:
            turn.objective(batch)
    return saves.most


def extrapolate(two: int, four: int, batch_size: int) -> int:
    """Bytes for two and for four images -> bytes for a batch.

    One part is constant, such as weights cast to bf16. The other grows with the number of images.
    """
    return two + max(0, four - two) * (batch_size - 2) // 2


def copy_size(hooks: Iterable[Hook], stored: int, steps: int | None) -> tuple[int, bool]:
    """(bytes of the copy that a checkpoint is written from, whether the run writes only one, at its end).

    `stored` are the bytes of a checkpoint, `steps` the length of the run, None if it is unknown.
    """
    saving = [hook for hook in hooks if isinstance(hook, Checkpoints)]
    scored = any(hook.best and hook.config["hooks"].get("scores") for hook in saving)
    earlier = scored or any(steps is None or hook.every < steps for hook in saving)
    return (stored if saving else 0), not earlier


def grid_size(hooks: Iterable[Hook], channels: int, size: tuple[int, int], panels: int = 1) -> int:
    """Peak bytes while the largest grid is made: its pictures in float32, then enlarged in uint8, then as a PNG.

    `size` is the height and width of a picture in pixels, `panels` how many of them a cell has.
    """
    values = panels * channels * math.prod(size)
    enlarged = values * max(1, SMALLEST_CELL // max(size)) ** 2
    counts = [hook.count for hook in hooks if isinstance(hook, Grids)]
    return max(counts, default=0) * (4 * FLOATS * values + 4 * enlarged)


def disk_size(hooks: Iterable[Hook], checkpoint: int, steps: int | None, batch_size: int, picture: int) -> int:
    """Bytes of the files that the hooks leave in the folder of a run of `steps` steps.

    If `steps` is None, only the checkpoints count. `checkpoint` are the bytes of one checkpoint, `picture` those of one
    image in uint8.
    """
    hooks = list(hooks)
    saved = sum(
        checkpoint * count_checkpoints(hook, steps, batch_size) for hook in hooks if isinstance(hook, Checkpoints)
    )
    grids = sum(
        round(PNG * hook.count * picture) * count_grids(hook, steps) for hook in hooks if isinstance(hook, Grids)
    )
    return saved + grids * (2 if any(isinstance(hook, TensorBoard) for hook in hooks) else 1)


def count_checkpoints(hook: Checkpoints, steps: int | None, batch_size: int) -> int:
    """How many checkpoints are in the folder at the end of a run. last.pt is the same file as one of them."""
    if steps is None:
        return hook.keep
    milestones = int(steps * batch_size // (1000 * hook.keep_kimg)) if hook.keep_kimg else 0
    return min(hook.keep + milestones, -(-steps // hook.every))


def count_grids(hook: Grids, steps: int | None) -> int:
    """How many grids are in the folder at the end of a run, with the early ones and the last one."""
    if steps is None:
        return 0
    regular = (steps - 1) // hook.every  # those before the last step
    return 1 + regular + sum(step < steps and step % hook.every > 0 for step in EARLY)
