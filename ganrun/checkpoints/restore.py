"""Builds the system of a checkpoint and puts its weights in."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ganrun.checkpoints.load import trusted
from ganrun.checkpoints.memory_limit import Fitting, require_fit, without_losses
from ganrun.common.device import pick_device
from ganrun.common.errors import UserError, is_out_of_memory
from ganrun.common.types import Config
from ganrun.config.builders import build_system
from ganrun.losses.loss import AdversarialLoss
from ganrun.systems.system import System

MISFITS = (
    TypeError, LookupError, ValueError, AttributeError, AssertionError, ArithmeticError, RuntimeError,
)  # fmt: skip


def load_system(state: Mapping[str, Any], weights: str = "ema", trust: list[str] | None = None) -> System:
    """The system that a checkpoint describes, with its weights, in eval mode. Raises UserError."""
    allowed = trusted(trust)
    if not isinstance(state, Fitting):
        require_fit(state, allowed)
    system = build_system(state["config"], allowed, loss=AdversarialLoss())  # no training here, so the loss is not used
    try:
        system.load_state_dict(without_losses(system, state["system"]))
        if weights == "ema":
            system.ema_module().load_state_dict(state["average"])
    except (RuntimeError, KeyError) as error:
        raise UserError(f"ckpt: its weights do not fit its own config: {' '.join(str(error).split())[:200]}") from None
    return with_one_line_errors(system.eval())


def with_one_line_errors(system: System) -> System:
    """The same system; its methods raise UserError with one line where the checkpoint's modules do not fit together."""

    def guarded(name: str, passed: tuple[type[Exception], ...]) -> None:
        method = getattr(system, name)

        def call(*args: Any, **options: Any) -> Any:
            try:
                return method(*args, **options)
            except passed:
                raise
            except MISFITS as error:
                if is_out_of_memory(error):
                    raise
                reason = (str(error) or type(error).__name__).splitlines()[0]
                raise UserError(f"ckpt: its model cannot {name}: {reason:.200}") from error

        setattr(system, name, call)

    guarded("draw", (UserError, ValueError, RuntimeError))  # these are about the request
    guarded("render", (UserError,))
    if hasattr(system, "translate"):
        guarded("translate", (UserError, ValueError))
    return system


def pixels_of(state: Mapping[str, Any]) -> int:
    """How many pixels a picture of this run has, as its config tells."""
    size = state["config"].get("dataset", {}).get("image_size", 0)
    return math.prod(size) if isinstance(size, list) else size**2


def load_conditional_system(path: Path, state: Config, config: Config) -> System:
    """The class-conditional system of a checkpoint, on the device. Raises UserError for an unconditional one."""
    system = load_system(state, config["weights"], config["trust"]).to(pick_device(config["device"]))
    if not getattr(system, "classes", 0):
        raise UserError(
            f"ckpt={path}: this model is unconditional, not class-conditional; train model=cgan or model=acgan"
        )
    return system


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def class_names(state: Config, system: System) -> list[str]:
    """The class names of the run's data; class numbers where names are missing or their number differs."""
    known, classes = state.get("data", {}).get("class_names", []), getattr(system, "classes", 0)
    return known if len(known) == classes else [str(label) for label in range(classes)]
