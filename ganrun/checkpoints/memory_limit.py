"""Limits memory while a model is built from an untrusted checkpoint."""

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

# A model may make SLACK times the elements of its checkpoint: a constructor may make tensors and throw them away, and
# tied weights are counted more than once. ganrun's own networks need 1.0.
SLACK = 4
SPARE = 2**20  # elements that every model may make besides, for the smallest networks
CALLS, MODULES = 100, 40  # of torch's functions, and modules, for each stored tensor; ganrun's networks need 9 and 2
MESSAGE = "describes a model that is far larger than the weights in the file"


class Fitting(dict[str, Any]):
    """The content of a checkpoint that `require_fit` accepted for ganrun's own classes. No file can hold one.

    Who changes its config makes a plain dict of it first, which is checked again.
    """


def require_fit(state: Mapping[str, Any], trust: Sequence[str], key: str = "ckpt") -> System:
    """Build the model of a checkpoint on the meta device, and compare the shapes with those of the stored weights.

    `state` is the content of the checkpoint, `key` the override that names its file. Returns the system, on the meta
    device. It has the loss of the file's config only for `key="resume"`. Raises UserError if a name or a shape differs,
    or if the config describes a model that is far larger than the stored weights.
    """
    config, stored = state["config"], state["system"]
    with torch.random.fork_rng(devices=[]), torch.device("meta"), limit_size([*stored.values()], key):
        # where no step runs, any loss fits
        loss = build(config.get("loss"), AdversarialLoss, "loss", trust) if key == "resume" else AdversarialLoss()
        system = build(config.get("model"), System, "model", trust, loss=loss)
    _compare(without_losses(system, system.state_dict()), without_losses(system, stored), key)
    _compare(system.ema_module().state_dict(), state["average"], key)
    return system


def without_losses(system: System, tensors: Mapping[str, Any]) -> dict[str, Any]:
    """A state dict without the tensors of losses. To draw pictures from a checkpoint, its loss is not built."""
    losses = tuple(f"{name}." for name, part in system.named_modules() if isinstance(part, AdversarialLoss))
    return {name: tensor for name, tensor in tensors.items() if not str(name).startswith(losses)}


def _compare(wanted: Mapping[str, Any], stored: Mapping[str, Any], key: str) -> None:
    for name in (*wanted, *stored):
        shapes = [getattr(tensors.get(name), "shape", None) for tensors in (wanted, stored)]
        if shapes[0] != shapes[1]:
            expected, found = ("nothing" if shape is None else str(list(shape)) for shape in shapes)
            raise UserError(
                f"{key}: its weights do not fit its own config: the config makes {expected} of {name!r:.80}, "
                f"the file has {found}"
            )


@contextmanager
def limit_size(tensors: Sequence[Any], key: str) -> Iterator[None]:
    """Within this block, raises UserError as soon as the modules that are built are too many or too large.

    The limits follow from the number and the sizes of `tensors`, those of the checkpoint.
    """
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
    """Counts every call of a torch function and measures its result.

    The hooks of modules see registered tensors only, not copies and temporary tensors.
    """

    def __init__(self, calls: int, elements: int, key: str) -> None:
        super().__init__()
        self.calls, self.elements, self.key = calls, elements, key

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.calls -= 1
        made = func(*args, **(kwargs or {}))
        if self.calls < 0 or (isinstance(made, Tensor) and type(made).numel(made) > self.elements):
            raise UserError(f"{self.key}: its config {MESSAGE}")
        return made
