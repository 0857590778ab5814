"""living: the bytes that the turns of a step keep alive, found by playing them with tensors that hold nothing."""

from __future__ import annotations

import copy
import logging
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ganrun.data.loading.stream import Batch, cut
from ganrun.systems.system import System
from ganrun.training.planning.late_step import ALL_PENALTIES, ALL_PLAYERS

log = logging.getLogger("ganrun")

Shapes = tuple[tuple[str, tuple[int, ...], torch.dtype], ...]  # name, shape without the batch, kind of number


def most_of_a_step(
    on_meta: System, shapes: Shapes, batch_size: int, accumulate: int = 1, bf16: bool = False
) -> int | None:
    """Bytes that the turns of a step take at their most besides weights and gradients; None where that is unknown.

    `on_meta` is the system on the meta device, `shapes` are those of the data's items. Nothing is computed and nothing
    allocated: each tensor is a shape, and its bytes count from the operation that makes it to its last user's end.
    """
    try:
        with FakeTensorMode(allow_non_fake_inputs=True), torch.random.fork_rng(devices=[]):
            system = without_numbers(on_meta).train()
            batch = {name: torch.empty((batch_size, *shape), dtype=dtype) for name, shape, dtype in shapes}
            steps = {system.graph_key(step) or step: step for step in (ALL_PLAYERS, ALL_PENALTIES)}
            return max(Living().most_of(system, batch, step, accumulate, bf16) for step in steps.values())
    except Exception as error:  # a network that looks at numbers: whatever it makes of there being none
        log.debug("memory: no step without numbers: %s", error)
        return None


def without_numbers(on_meta: System) -> System:
    """A copy whose weights and buffers are shapes on the CPU. To be called within the mode that makes such tensors."""
    fakes: dict[int, Any] = {}  # what deepcopy takes for tensors that it has copied already; a tied weight stays one
    for tensor in [*on_meta.parameters(), *on_meta.buffers()]:
        fake = torch.empty_like(tensor, device="cpu")
        fakes[id(tensor)] = nn.Parameter(fake, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else fake
    return copy.deepcopy(on_meta, fakes)


class Living(TorchDispatchMode):
    """Bytes of the tensors made within it that are still there: now, and at their most. A storage counts once."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0
        self.storages: set[int] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor):
                self.count(tensor.untyped_storage())
        return made

    def count(self, storage: torch.UntypedStorage) -> None:
        place, size = storage._cdata, storage.nbytes()
        if place not in self.storages:
            self.storages.add(place)
            self.now += size
            self.most = max(self.most, self.now)
            weakref.finalize(storage, self.end_of, place, size)

    def end_of(self, place: int, size: int) -> None:
        self.storages.discard(place)
        self.now -= size

    def most_of(self, system: System, batch: Batch, step: int, accumulate: int, bf16: bool) -> int:
        """Plays a step as `Trainer.play` does, gradients of the step before included; they do not count."""
        weights = {name: parameters_of(module) for name, module in system.players().items()}
        everybody = [weight for own in weights.values() for weight in own]
        with self:
            for weight in everybody:
                weight.grad = torch.empty_like(weight)
            batch = {name: tensor.clone() for name, tensor in batch.items()}
            parts = cut(batch, accumulate)
            for turn in system.turns(step):
                self.play(turn.objective, parts, weights[turn.player], bf16)
        return max(0, self.most - sum(weight.nbytes for weight in everybody))

    def play(self, objective_of: Callable[[Batch], Any], parts: list[Batch], weights: list[Tensor], bf16: bool) -> None:
        for weight in weights:
            weight.grad = None
        for part in parts:
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                objective = objective_of(part)
            objective.total.backward(inputs=weights)


def parameters_of(module: nn.Module) -> list[Tensor]:
    return [weight for weight in module.parameters() if weight.requires_grad]
