"""remarks: what a user should hear about how the parts of a run go together, a line each, before it starts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch.optim import Optimizer

from ganrun.common import torchrun
from ganrun.common.types import Config
from ganrun.config.tree import keys_of
from ganrun.data.dataset import Dataset
from ganrun.losses.loss import AdversarialLoss
from ganrun.systems.roles import Role
from ganrun.systems.system import System
from ganrun.training.hooks.hook import Hook

SECTIONS = ("grids", "watchdog", "checkpoint", "profile")  # keys of a run that only hooks read


def remarks(
    config: Config,
    dataset: Dataset,
    system: System,
    optimizers: Mapping[str, Optimizer],
    hooks: Sequence[Hook],
    device: torch.device,
    steps: int | None,
) -> list[str]:
    """Each part says what it knows of the others; the run's own keys come last. No line is there twice.

    `steps` is the run's length, None where it is not known.
    """
    said = [*dataset.remarks(), *system.remarks(steps), *of_losses(system, optimizers)]
    said += [line for hook in hooks for line in hook.remarks()]
    return list(dict.fromkeys([*said, *unheard(config, hooks), *of_run(config, system, device)]))


def of_losses(system: System, optimizers: Mapping[str, Optimizer]) -> Iterator[str]:
    """Of every loss, about the optimizer of who pays it."""
    judges = [optimizer for player, optimizer in optimizers.items() if system.role(player) is Role.DISCRIMINATOR]
    for loss in system.modules():
        if isinstance(loss, AdversarialLoss):
            for judge in judges:
                yield from loss.remarks(judge)


def unheard(config: Config, hooks: Sequence[Hook]) -> Iterator[str]:
    """Of keys that were changed and that no hook of this run reads."""
    if any(not type(hook).__module__.startswith("ganrun.") for hook in hooks):
        return  # a user's own may read anything
    heard = {section for hook in hooks for section in hook.reads}
    for section in SECTIONS:
        if section in heard or section not in config:
            continue
        for key, value in changed(section, config[section], keys_of("train")[section]):
            shown = json.dumps(value).strip('"')  # a stored config may be a stranger's: no letter commands a terminal
            yield f"{key}={shown} has no effect: this run has no hook that reads it; hooks=default has"


def changed(key: str, now: Any, usual: Any) -> Iterator[tuple[str, Any]]:
    """What of a section is not as ganrun's own page has it."""
    if isinstance(now, dict) and isinstance(usual, dict):
        for name, value in usual.items():
            yield from changed(f"{key}.{name}", now.get(name, value), value)
    elif now != usual:
        yield key, now


def of_run(config: Config, system: System, device: torch.device) -> Iterator[str]:
    """Of keys that this run has no use for."""
    if config.get("compile") and not system.differentiated_once():
        yield f"compile=true has no effect: {type(system).__name__} names no network that may be compiled"
    if config.get("graphs") is True and device.type != "cuda":
        yield f"graphs=true has no effect: steps are recorded on CUDA, and this run is on {device.type}"
    if config["average"]["half_life"] == 0:
        yield "average.half_life=0: no weights are averaged, grids and samples show those of the last step"
    ranks = config.get("ranks")
    if isinstance(ranks, dict) and ranks.get("batchnorm") == "synchronised" and torchrun.size() == 1:
        yield "ranks.batchnorm=synchronised has no effect: torchrun has not started several processes"
