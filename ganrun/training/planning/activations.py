"""Counts the bytes of activations of one training step, with fake tensors: they have shapes but no memory."""

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

Shapes = tuple[tuple[str, tuple[int, ...], torch.dtype], ...]  # name, shape of one item, data type


def peak_of_a_step(
    on_meta: System, shapes: Shapes, batch_size: int, accumulate: int = 1, bf16: bool = False
) -> int | None:
    """Peak bytes of the tensors that a step makes, without weights and gradients. None if they cannot be counted.

    `on_meta` is the system on the meta device. `shapes` describe one item of the data. `batch_size` images are split
    into `accumulate` parts. Nothing is computed and no memory is allocated. The bytes of a tensor count from the
    operation that makes it until the tensor is freed.
    """
    try:
        with FakeTensorMode(allow_non_fake_inputs=True), torch.random.fork_rng(devices=[]):
            system = with_fake_tensors(on_meta).train()
            batch = {name: torch.empty((batch_size, *shape), dtype=dtype) for name, shape, dtype in shapes}
            steps = {system.graph_key(step) or step: step for step in (ALL_PLAYERS, ALL_PENALTIES)}
            return max(LiveBytes().peak_of_step(system, batch, step, accumulate, bf16) for step in steps.values())
    except Exception as error:  # a network that reads values of tensors may raise anything here
        log.debug("memory: a step cannot run with fake tensors: %s", error)
        return None


def with_fake_tensors(on_meta: System) -> System:
    """A copy of the system whose weights and buffers are fake tensors on the CPU. Call it within FakeTensorMode."""
    # deepcopy finds these as its own earlier copies and uses them; so a tied weight stays one tensor
    fakes: dict[int, Any] = {}
    for tensor in [*on_meta.parameters(), *on_meta.buffers()]:
        fake = torch.empty_like(tensor, device="cpu")
        fakes[id(tensor)] = nn.Parameter(fake, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else fake
    return copy.deepcopy(on_meta, fakes)


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of the tensors that are made within this mode: those alive `now`, and the `peak`.

    Tensors that share a storage count once.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
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
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self.release, place, size)

    def release(self, place: int, size: int) -> None:
        self.storages.discard(place)
        self.now -= size

    def peak_of_step(self, system: System, batch: Batch, step: int, accumulate: int, bf16: bool) -> int:
        """Peak bytes of one step, run as `Trainer.play` runs it. One gradient for each weight is subtracted.

        All weights have their gradients of the step before when the step begins.
        """
        weights = {name: parameters_of(module) for name, module in system.players().items()}
        all_weights = [weight for own in weights.values() for weight in own]
        with self:
            for weight in all_weights:
                weight.grad = torch.empty_like(weight)
            batch = {name: tensor.clone() for name, tensor in batch.items()}
            parts = cut(batch, accumulate)
            for turn in system.turns(step):
                self.play(turn.objective, parts, weights[turn.player], bf16)
        return max(0, self.peak - sum(weight.nbytes for weight in all_weights))

    def play(self, objective_of: Callable[[Batch], Any], parts: list[Batch], weights: list[Tensor], bf16: bool) -> None:
        for weight in weights:
            weight.grad = None
        for part in parts:
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                objective = objective_of(part)
            objective.total.backward(inputs=weights)


def parameters_of(module: nn.Module) -> list[Tensor]:
    return [weight for weight in module.parameters() if weight.requires_grad]
