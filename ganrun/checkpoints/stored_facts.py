"""Checks the values of a checkpoint besides its weights and config: progress, class names, optimizer states."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from ganrun.common.limits import SETTING, SIDE, TEXT
from ganrun.common.untrusted import is_count, is_number, printable

State = dict[str, Any]

NAMES = 10_000  # numbers that a run logs
SWITCHES = ("fused", "foreach", "capturable")  # of an optimizer: how it steps on a device, and not what comes out
MOVING = ("params", "lr", "initial_lr")  # of an optimizer: what changes as a run goes on


def check_facts(state: State) -> None:
    """Raises ValueError where progress, seed, class names or image shape are not what a run saves.

    Control characters in the class names are replaced.
    """
    progress, config = state["progress"], state["config"]
    if not all(is_count(progress.get(name)) for name in ("step", "images")):
        raise ValueError("its progress is not counted in whole numbers")
    if not is_number(progress.get("seconds", 0)) or progress.get("seconds", 0) < 0:
        raise ValueError("its progress is not told in numbers")
    if type(progress.get("setbacks", 0)) is not int or not 0 <= progress.get("setbacks", 0) <= 1000:
        raise ValueError("its setbacks are not counted in whole numbers up to 1000")
    if not is_count(config.get("seed")):
        raise ValueError("its config's seed is no whole number")
    if not is_count(progress.get("ranks", 1)):
        raise ValueError("its ranks are not counted in whole numbers")
    check_names(state.setdefault("data", {}))
    check_shape(config.get("dataset", {}))


def check_names(data: Any) -> None:
    names = data.get("class_names", []) if isinstance(data, dict) else None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("its class_names are not a list of names")
    if len(names) > SETTING or any(len(name) > TEXT for name in names):
        raise ValueError(f"it names more than {SETTING} classes, or one of more than {TEXT} letters")
    data["class_names"] = [printable(name) for name in names]


def check_shape(dataset: Any) -> None:
    """Raises ValueError where a data set's node says of its pictures what no pictures are."""
    if not isinstance(dataset, dict):
        raise ValueError("its config's dataset is no group of settings")
    size = dataset.get("image_size", 1)
    sides = size if isinstance(size, list) else [size, size]
    if len(sides) != 2 or not all(type(side) is int and 1 <= side <= SIDE for side in sides):
        raise ValueError(f"its config's dataset.image_size={size!s:.80} is no size of pictures up to {SIDE}")
    for fact in ("channels", "classes"):
        if not (is_count(dataset.get(fact, 1)) and dataset.get(fact, 1) <= SETTING):
            raise ValueError(f"its config's dataset.{fact}={dataset[fact]!s:.80} is no number of {fact}")
    if not isinstance(dataset.get("clean") or {}, dict):
        raise ValueError("its config's dataset.clean is no group of settings")


def check_resumable(state: State) -> None:
    """Raises ValueError where the states of optimizers or meter are missing or malformed: the run cannot resume."""
    optimizers, meter = state.get("optimizers"), state.get("meter")
    if not isinstance(optimizers, dict) or not optimizers or not isinstance(meter, dict):
        raise ValueError("it holds no optimizers or no meter: the run cannot resume from it")
    for saved in optimizers.values():
        groups, moments = (saved.get("param_groups"), saved.get("state")) if isinstance(saved, dict) else (None, None)
        one = isinstance(groups, list) and len(groups) == 1 and isinstance(groups[0], dict)
        if not one or not isinstance(moments, dict) or not all(isinstance(kept, dict) for kept in moments.values()):
            raise ValueError("its optimizers are not what torch saves of one")
        if any(isinstance(value, str) for kept in moments.values() for value in kept.values()):
            raise ValueError("its optimizers hold text where they keep numbers")
    if len(meter) > NAMES or not all(isinstance(name, str) and is_mean(entry) for name, entry in meter.items()):
        raise ValueError("its meter is not what a run saves")


def is_mean(entry: Any) -> bool:
    """Whether the entry is a sum with a count, as the meter saves it."""
    if not isinstance(entry, dict) or not is_count(entry.get("count")) or not entry["count"]:
        return False
    total = entry.get("sum")
    return isinstance(total, Tensor) and total.ndim == 0 and total.is_floating_point()


def check_optimizer(optimizer: Optimizer, saved: Mapping[str, Any], moves_beta2: bool = False) -> None:
    """Raises ValueError where what was saved is not the state of this optimizer, which has not stepped yet.

    torch accepts any state and fails only steps later. `moves_beta2`: a schedule moves the second of its betas.
    """
    ours, theirs = optimizer.state_dict()["param_groups"][0], saved["param_groups"][0]
    weights = optimizer.param_groups[0]["params"]
    if theirs.get("params") != list(range(len(weights))) or not saved["state"].keys() <= set(range(len(weights))):
        raise ValueError(f"its optimizer moves other weights than the {len(weights)} of this player")
    if not is_number(theirs.get("lr")) or theirs["lr"] < 0:
        raise ValueError("its optimizer's lr is no number")
    if theirs.get("fused") and theirs.get("foreach"):
        raise ValueError("its optimizer is fused and foreach at once")
    moving = (*MOVING, "betas") if moves_beta2 and _differ_in_beta2(ours.get("betas"), theirs.get("betas")) else MOVING
    for name, value in ours.items():
        if name in SWITCHES:
            if not isinstance(theirs.get(name), (bool, type(None))):
                raise ValueError(f"its optimizer's {name} is neither true nor false")
        elif name not in moving and name in theirs and as_list(theirs[name]) != as_list(value):
            raise ValueError(f"its optimizer has {name}={theirs[name]!s:.80}, its config {value!s:.80}")
    fresh = {shape: expected_state(optimizer, shape) for shape in {weight.shape for weight in weights}}
    for number, kept in saved["state"].items():
        check_moments(kept, fresh[weights[number].shape], weights[number].shape)


def _differ_in_beta2(ours: Any, theirs: Any) -> bool:
    """Whether both are pairs of betas with one first number, and the second number of theirs is one that Adam takes."""
    pairs = [as_list(betas) for betas in (ours, theirs)]
    if not all(isinstance(pair, list) and len(pair) == 2 and all(map(is_number, pair)) for pair in pairs):
        return False
    return pairs[0][0] == pairs[1][0] and 0 <= pairs[1][1] < 1


def as_list(value: Any) -> Any:
    return list(value) if isinstance(value, (list, tuple)) else value


def check_moments(kept: Mapping[str, Any], fresh: Mapping[str, Any] | None, shape: tuple[int, ...]) -> None:
    """Raises ValueError unless `kept` is of the kind and shape of what is remembered of a weight, where that is known.

    An empty state means that the weight has not been stepped yet.
    """
    for name, like in (fresh or {}).items() if kept else ():
        value = kept.get(name)
        if isinstance(like, Tensor) != isinstance(value, Tensor) or getattr(value, "shape", ()) != getattr(
            like, "shape", ()
        ):
            found = list(value.shape) if isinstance(value, Tensor) else value
            raise ValueError(f"its optimizer's {name} is {found!s:.80}, of a weight of {list(shape)}")


def expected_state(optimizer: Optimizer, shape: tuple[int, ...]) -> dict[str, Any] | None:
    """The state that a torch optimizer has after one step for a weight of this shape; None if unknown.

    Found by one step on the meta device, which needs no memory and no arithmetic.
    """
    cls, weight = type(optimizer), torch.zeros(shape, device="meta", requires_grad=True)
    if not cls.__module__.startswith("torch.optim."):
        return None
    known, group = inspect.signature(cls).parameters, optimizer.param_groups[0]
    options = {name: value for name, value in group.items() if name in known and name not in (*SWITCHES, *MOVING)}
    weight.grad = torch.zeros_like(weight)
    try:
        twin = cls([weight], lr=1e-3, **options)  # type: ignore[call-arg]
        twin.step()
    except (TypeError, RuntimeError, ValueError):  # such as LBFGS, which wants a function
        return None
    return dict(twin.state[weight])
