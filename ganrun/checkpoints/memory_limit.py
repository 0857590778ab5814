"""budget: a checkpoint gets the memory that its own tensors account for, and nothing beyond it is built."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)
from torch.overrides import TorchFunctionMode

from ganrun.common.errors import UserError
from ganrun.config.build import build
from ganrun.losses.loss import AdversarialLoss
from ganrun.systems.system import System

SLACK = 4  # tied weights, and what a constructor makes and throws away; our own networks need 1.0
SPARE = 2**20  # elements, for the smallest networks
CALLS, MODULES = 100, 40  # for each tensor; our own networks need 9 and 2
MESSAGE = "asks for more than its weights account for"


def require_fit(state: Mapping[str, Any], trust: Sequence[str], key: str = "ckpt") -> System:
    """Build the system without memory and compare its weights with the file's. Raises UserError where they differ.

    Returns the system, on torch's meta device. It has the loss of the file's config only for `key="resume"`.
    """
    config, stored = state["config"], state["system"]
    with torch.random.fork_rng(devices=[]), torch.device("meta"), within([*stored.values()], key):
        # where nobody plays, any loss will do
        loss = build(config.get("loss"), AdversarialLoss, "loss", trust) if key == "resume" else AdversarialLoss()
        system = build(config.get("model"), System, "model", trust, loss=loss)
    _compare(without_losses(system, system.state_dict()), without_losses(system, stored), key)
    _compare(system.ema_module().state_dict(), state["average"], key)
    return system


def without_losses(system: System, tensors: Mapping[str, Any]) -> dict[str, Any]:
    """Of a state, what does not belong to a loss: those are not built from a file that is only drawn from."""
    losses = tuple(f"{name}." for name, part in system.named_modules() if isinstance(part, AdversarialLoss))
    return {name: tensor for name, tensor in tensors.items() if not str(name).startswith(losses)}


def _compare(wanted: Mapping[str, Any], stored: Mapping[str, Any], key: str) -> None:
    for name in (*wanted, *stored):
        ours, theirs = (getattr(side.get(name), "shape", None) for side in (wanted, stored))
        if ours != theirs:
            sizes = " and ".join("nothing" if shape is None else str(list(shape)) for shape in (ours, theirs))
            raise UserError(f"{key}: its weights do not fit its own config: {name!r:.80} would be and is {sizes}")


@contextmanager
def within(tensors: Sequence[Any], key: str) -> Iterator[None]:
    """Raises UserError as soon as what is built has outgrown these tensors, be it in number or in size."""
    elements = SPARE + SLACK * sum(tensor.numel() for tensor in tensors if isinstance(tensor, Tensor))
    budget = {"modules": 1000 + MODULES * len(tensors), "elements": elements}

    def spend(what: str, cost: Callable[[Any], int]) -> Callable[[nn.Module, str, Any], None]:
        def hook(module: nn.Module, name: str, given: Any) -> None:
            budget[what] -= cost(given)
            if budget[what] < 0:
                raise UserError(f"{key}: its config {MESSAGE}")

        return hook

    def size(tensor: Tensor | None) -> int:
        return 0 if tensor is None else tensor.numel()

    with ExitStack() as stack:
        for register, hook in (
            (register_module_parameter_registration_hook, spend("elements", size)),
            (register_module_buffer_registration_hook, spend("elements", size)),
            (register_module_module_registration_hook, spend("modules", lambda module: 1)),
        ):
            stack.callback(register(hook).remove)
        stack.enter_context(_Counted(10_000 + CALLS * len(tensors), elements, key))
        yield


class _Counted(TorchFunctionMode):
    """Every call of torch is counted and its result measured: copies and temporaries are registered nowhere."""

    def __init__(self, calls: int, elements: int, key: str) -> None:
        super().__init__()
        self.calls, self.elements, self.key = calls, elements, key

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.calls -= 1
        made = func(*args, **(kwargs or {}))
        if self.calls < 0 or (isinstance(made, Tensor) and type(made).numel(made) > self.elements):
            raise UserError(f"{self.key}: its config {MESSAGE}")
        return made
