"""estimates: the memory and the disk that a run is going to take, told before it takes them."""

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

FLOATS = 4  # copies of a grid's pictures on their way to bytes
LISTED = 100  # bytes for each tensor in a checkpoint's list of content, besides its name
PNG = 1.5  # bytes for each of the raw pixels: small pictures are enlarged, noise does not compress


def nbytes(tensors: Iterable[Tensor]) -> int:
    """Bytes of all elements; on the meta device too."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def moments(optimizers: Mapping[str, Optimizer]) -> int:
    """Bytes that optimizers of weights on the meta device keep, found by one step there: their weights get gradients.

    An optimizer that cannot step there counts as Adam: two moments for each weight.
    """
    total = 0
    for optimizer in optimizers.values():
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        for group in optimizer.param_groups:
            group["fused"] = None  # fused kernels know no meta device; what they keep is the same
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


def held(system: nn.Module, average: nn.Module, optimizers: Mapping[str, Optimizer]) -> tuple[int, int]:
    """(bytes of a run's tensors between two steps, bytes of its checkpoint), of a system on the meta device.

    Weights and buffers, what the optimizers keep, the copy that is averaged; in memory a gradient for each weight too.
    """
    stored = nbytes(system.state_dict().values()) + nbytes(average.state_dict().values()) + moments(optimizers)
    gradients = nbytes(
        weight for one in optimizers.values() for group in one.param_groups for weight in group["params"]
    )
    return stored + gradients, stored


def listed(system: nn.Module, average: nn.Module, optimizers: Mapping[str, Optimizer]) -> int:
    """Bytes of the list of content of a checkpoint. The optimizers have made one step, as `held` has them do."""
    names = [*system.state_dict(), *average.state_dict()]
    states = [state for optimizer in optimizers.values() for state in optimizer.state.values()]
    tensors = len(names) + sum(len(state) for state in states)
    return LISTED * tensors + sum(len(name) for name in set(names))


class SavedTensors:
    """Bytes that autograd keeps for backward passes: how much lives now, and the most so far.

    `known` are the tensors that are there anyway, weights and buffers: they do not count. A storage counts once.
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
    """One saved tensor; its end is noticed."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor.detach()  # or a tensor that its own graph saves would keep itself alive


def saved(system: nn.Module, turns: Iterable[Turn], batch: Batch, bf16: bool) -> int:
    """Bytes that turns keep for their backward passes, played with real numbers."""
    saves = SavedTensors([*system.parameters(), *system.buffers()])
    with saves.counted(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        for turn in turns:
            turn.objective(batch)
    return saves.most


def extrapolated(two: int, four: int, batch_size: int) -> int:
    """What two and four images take -> what a batch does: some grows with it, some (weights cast to bf16) does not."""
    return two + max(0, four - two) * (batch_size - 2) // 2


def copies(hooks: Iterable[Hook], stored: int, steps: int | None) -> tuple[int, bool]:
    """(bytes of the copy that a checkpoint is written from, is there but one, at the end?)."""
    saving = [hook for hook in hooks if isinstance(hook, Checkpoints)]
    scored = any(hook.best and hook.config["hooks"].get("scores") for hook in saving)
    often = scored or any(steps is None or hook.every < steps for hook in saving)
    return (stored if saving else 0), not often


def drawing(hooks: Iterable[Hook], channels: int, size: tuple[int, int]) -> int:
    """Bytes of the pictures of the largest grid: drawn in parts and put together, made bytes, enlarged, encoded."""
    pixels = channels * math.prod(size)
    shown = pixels * max(1, SMALLEST_CELL // max(size)) ** 2
    counts = [hook.count for hook in hooks if isinstance(hook, Grids)]
    return max(counts, default=0) * (4 * FLOATS * pixels + 4 * shown)


def disk(hooks: Iterable[Hook], checkpoint: int, steps: int | None, batch_size: int, picture: int) -> int:
    """Bytes that the hooks leave in a run's folder after `steps` steps; where that is unknown, its checkpoints'.

    `checkpoint` is the size of one of them, `picture` that of one image's raw pixels.
    """
    hooks = list(hooks)
    saved = sum(checkpoint * kept(hook, steps, batch_size) for hook in hooks if isinstance(hook, Checkpoints))
    grids = sum(round(PNG * hook.count * picture) * drawn(hook, steps) for hook in hooks if isinstance(hook, Grids))
    return saved + grids * (2 if any(isinstance(hook, TensorBoard) for hook in hooks) else 1)


def kept(hook: Checkpoints, steps: int | None, batch_size: int) -> int:
    """How many checkpoints lie there at the end; last.pt is the same file as one of them."""
    if steps is None:
        return hook.keep
    milestones = int(steps * batch_size // (1000 * hook.keep_kimg)) if hook.keep_kimg else 0
    return min(hook.keep + milestones, -(-steps // hook.every))


def drawn(hook: Grids, steps: int | None) -> int:
    """How many grids lie there at the end, the early ones and the last included."""
    if steps is None:
        return 0
    regular = (steps - 1) // hook.every  # of the steps before the last
    return 1 + regular + sum(step < steps and step % hook.every > 0 for step in EARLY)
