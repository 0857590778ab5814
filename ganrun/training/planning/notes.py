"""Notes of the plan: one line for each setting that has no effect, and for each odd combination of parts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch.optim import Optimizer

from ganrun.common import torchrun
from ganrun.common.types import Config
from ganrun.config.tree import keys_of
from ganrun.data.damaged import Damaged
from ganrun.data.dataset import Dataset
from ganrun.losses.loss import AdversarialLoss
from ganrun.systems.roles import Role
from ganrun.systems.system import System
from ganrun.systems.translation import PictureToPicture
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
    """The notes for the plan of a run, without duplicates.

    The notes of the data set, the system, the losses and the hooks come first, then those about keys of the config.
    `steps` is the length of the run, None if it is unknown.
    """
    lines = [*dataset.remarks(), *system.remarks(steps), *damage_remarks(dataset, system)]
    lines += loss_remarks(system, optimizers)
    lines += [line for hook in hooks for line in hook.remarks()]
    return list(dict.fromkeys([*lines, *unread_keys(config, hooks), *unused_keys(config, system, device)]))


def damage_remarks(dataset: Dataset, system: System) -> Iterator[str]:
    """Sources that are too clean for a system that is made for photographs from anywhere."""
    if not (isinstance(system, PictureToPicture) and system.for_the_wild and isinstance(dataset, Damaged)):
        return
    if made_from := dataset.damage.idealised:
        factor = f" dataset.damages.real_world.factor={dataset.scale}" if dataset.scale > 1 else ""
        yield (
            f"the sources are {made_from}; for photographs from the wild train with dataset=damaged "
            f"dataset.damage=real_world{factor}"
        )


def loss_remarks(system: System, optimizers: Mapping[str, Optimizer]) -> Iterator[str]:
    """What every loss says about the optimizers of the discriminators."""
    discriminators = [
        optimizer for player, optimizer in optimizers.items() if system.role(player) is Role.DISCRIMINATOR
    ]
    for loss in system.modules():
        if isinstance(loss, AdversarialLoss):
            for discriminator in discriminators:
                yield from loss.remarks(discriminator)


def unread_keys(config: Config, hooks: Sequence[Hook]) -> Iterator[str]:
    """A line for each key that was changed although no hook of this run reads it."""
    if any(not type(hook).__module__.startswith("ganrun.") for hook in hooks):
        return  # a user's own hook may read any key
    read = {section for hook in hooks for section in hook.reads}
    for section in SECTIONS:
        if section in read or section not in config:
            continue
        for key, value in changed_keys(section, config[section], keys_of("train")[section]):
            text = json.dumps(value).strip('"')  # escapes control characters that a stranger's config may hold
            yield f"{key}={text} has no effect: this run has no hook that reads it; hooks=default has one"


def changed_keys(key: str, now: Any, usual: Any) -> Iterator[tuple[str, Any]]:
    """(key, value) for each key of a section that differs from ganrun's own default."""
    if isinstance(now, dict) and isinstance(usual, dict):
        for name, value in usual.items():
            yield from changed_keys(f"{key}.{name}", now.get(name, value), value)
    elif now != usual:
        yield key, now


def unused_keys(config: Config, system: System, device: torch.device) -> Iterator[str]:
    """A line for each key that has no effect in this run, or an effect that may surprise."""
    if config.get("compile") and not system.differentiated_once():
        yield f"compile=true has no effect: {type(system).__name__} has no network that can be compiled"
    if config.get("graphs") is True and device.type != "cuda":
        yield f"graphs=true has no effect: only CUDA can record steps, and this run is on {device.type}"
    if config["average"]["half_life"] == 0:
        yield "average.half_life=0: no weights are averaged; grids and samples are drawn with the last step's weights"
    ranks = config.get("ranks")
    if isinstance(ranks, dict) and ranks.get("batchnorm") == "synchronised" and torchrun.size() == 1:
        yield "ranks.batchnorm=synchronised has no effect: this run has one process; torchrun starts several"
