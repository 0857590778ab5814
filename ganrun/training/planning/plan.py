"""Plans a run: its length, memory and disk. Refuses a run that cannot start, before any file is written."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils._pytree import tree_leaves

from ganrun.checkpoints.load import load_checkpoint
from ganrun.checkpoints.start import load_weights
from ganrun.common import torchrun
from ganrun.common.device import pick_device, set_threads
from ganrun.common.errors import UserError
from ganrun.common.plurals import plural
from ganrun.common.types import Config
from ganrun.common.untrusted import MAX_PICKLE
from ganrun.config.build import build
from ganrun.config.builders import load_dataset
from ganrun.config.schema import check_own
from ganrun.data.dataset import Dataset
from ganrun.systems.system import System
from ganrun.training.hooks.hook import Hook
from ganrun.training.length import Length, length_of
from ganrun.training.optimizers import build_optimizers
from ganrun.training.planning import estimates, memory
from ganrun.training.planning.equal_parts import require_equal_parts, require_whole_packs
from ganrun.training.planning.followers import followers, of_schedules, require_end
from ganrun.training.planning.measure import Choice
from ganrun.training.planning.memory import Memory
from ganrun.training.planning.notes import remarks
from ganrun.training.planning.systems import Systems
from ganrun.training.planning.trial_steps import run_trial_steps


@dataclass
class Plan:
    """The facts about a run before it starts."""

    config: Config
    dataset: Dataset
    length: Length
    parameters: dict[str, int]
    device: torch.device
    memory: Memory
    disk: int  # bytes in the run's folder at its end
    choice: Choice  # the values that were measured
    remarks: list[str]  # notes about settings without an effect and odd combinations
    systems: Systems  # the systems that were built for the plan, to be used again

    def lines(self) -> list[str]:
        size = "×".join(map(str, self.dataset.image_size))
        size = f"of {size}" if self.dataset.crops is None else f"in crops of {size}"
        epoch, channels, classes = len(self.dataset), self.dataset.channels, self.dataset.classes or 0
        steps = self.length.steps
        total = (
            f"{steps} {plural('step', steps)} = {steps * self.config['batch_size'] / 1000:g} kimg = "
            f"{steps * self.config['batch_size'] / epoch:.1f} epochs"
            if steps
            else f"{self.length.minutes:g} {plural('minute', self.length.minutes or 0)}"
        )
        weights = ", ".join(f"{name} {count:,}" for name, count in self.parameters.items())
        ranks = torchrun.size()
        count = self.config["threads"] or torch.get_num_threads()
        threads = f", {count} {plural('thread', count)}" if self.device.type == "cpu" else ""
        bits = f"{self.dataset.bits} bits, " if self.dataset.is_deep else ""
        return [
            f"data        {epoch:,} {plural('image', epoch)} {size}, {channels} {plural('channel', channels)}, "
            f"{bits}{classes or 'no'} {plural('class', classes)}",
            f"parameters  {weights}",
            *self.size(),
            f"memory      {self.memory.line(self.device)}",
            f"disk        about {memory.mebi(self.disk)}: checkpoints, grids, curves",
            f"length      {total}, batch {self.config['batch_size']}",
            f"device      {self.device}, {self.config['precision']}{threads}",
            *self.choice.lines(),
            *([f"ranks       {ranks}, each with {self.config['batch_size'] // ranks} of a batch"] if ranks > 1 else []),
            *(f"note        {note}" for note in self.notes()),
        ]

    def size(self) -> list[str]:
        """Which of its two networks a model has, where its yaml has `model.size`."""
        other = {
            "small": "model.size=paper is the network of the paper, the default from 64 pixels on",
            "paper": "the network of the paper; model.size=small is quicker, the default below 64 pixels",
        }
        size = self.config["model"].get("size")
        return [f"model.size  {size}: {other[size]}"] if size in other else []

    def notes(self) -> list[str]:
        return [*self.memory.warning(self.device, self.config), *self.dataset.notes, *self.remarks]


def plan(
    config: Config,
    trust: Sequence[str] | None = None,
    choice: Choice | None = None,
    state: Mapping[str, Any] | None = None,
    pixels: bool = True,
    systems: Systems | None = None,
) -> Plan:
    """Build the parts of a run on the meta device, check that they fit each other, and plan the run.

    No file is written. Raises UserError. `choice` are the measured values in `config`. `state` is the content of the
    checkpoint from which the run continues. `systems` are those of an earlier plan of the same run, to be used again.
    With pixels=False, only the first few pictures are decoded, so broken pictures are not noticed.
    """
    if trust is None:  # the config of a checkpoint was checked when the checkpoint was read
        check_own(config)
    device = pick_device(config["device"])
    dataset = load_dataset(config, trust, pixels)
    set_threads(config["threads"], math.prod(dataset.image_size))
    require_batch(config, dataset)
    require_equal_parts(config)
    systems = systems or Systems(config, trust)
    system = systems.on_meta
    require_whole_packs(config, system)
    require_classes(system, dataset)
    with torch.device("meta"):
        optimizers, schedules = build_optimizers(config, system, trust)
    counts = {name: sum(weight.numel() for weight in module.parameters()) for name, module in system.players().items()}
    activations = run_trial_steps(config, dataset, systems)
    hooks = build_hooks(config, Path("."), trust)
    for hook in hooks:
        hook.refuse(system, dataset)
    length = length_of(config, dataset)
    following = followers(config, system, schedules)
    require_end(length, following)
    start = config["init_from"]
    fresh = [] if start is None else load_weights(system, load_checkpoint(str(start), "init_from"), config)
    held, stored = estimates.state_sizes(system, system.ema_module(), optimizers)
    require_short_list(estimates.list_size(system, system.ema_module(), optimizers))
    images = None if length.steps is None else length.steps * config["batch_size"]
    largest = max((weight.numel() * weight.element_size() for weight in system.parameters()), default=0)
    copy = estimates.copy_size(hooks, stored, length.steps)
    drawing = estimates.grid_size(hooks, dataset.channels, dataset.image_size, system.panel_count)
    read = estimates.nbytes(leaf for leaf in tree_leaves(state) if isinstance(leaf, torch.Tensor))
    needs = memory.estimate(dataset, images, held, activations, largest, drawing, copy, read + systems.nbytes)
    picture = dataset.channels * math.prod(dataset.image_size) * system.panel_count
    disk = estimates.disk_size(hooks, stored, length.steps, config["batch_size"], picture)
    said = fresh + remarks(config, dataset, system, optimizers, hooks, device, length.steps)
    said += of_schedules(config, following, schedules, device)
    return Plan(config, dataset, length, counts, device, needs, disk, choice or Choice(), said, systems)


def require_short_list(nbytes: int) -> None:
    """Raises UserError for networks with so many tensors that their checkpoint could be written, but not opened."""
    if nbytes > MAX_PICKLE:
        raise UserError(
            f"model: its checkpoints would list {nbytes / MAX_PICKLE:.1f} times as many tensors as a checkpoint may "
            "have: choose networks with fewer layers"
        )


def require_classes(system: System, dataset: Dataset) -> None:
    """Raises UserError for a class-conditional model that has fewer classes than the labels of the data."""
    classes = getattr(system, "classes", 0)
    if not isinstance(classes, int) or not classes or classes == dataset.classes:
        return
    if not dataset.classes:
        raise UserError(f"model.classes={classes}, but the data have no labels: use model.classes=0")
    if classes < dataset.classes:
        raise UserError(
            f"model.classes={classes}, but the labels of the data go from 0 to {dataset.classes - 1}: "
            f"use model.classes={dataset.classes}"
        )


def require_batch(config: Config, dataset: Dataset) -> None:
    """Raises UserError if a batch has more images than the data set; crops may be of one image."""
    if config["batch_size"] > len(dataset) and dataset.crops is None:
        raise UserError(
            f"batch_size={config['batch_size']} is larger than the data: {len(dataset)} images; "
            f"try batch_size={min(64, len(dataset))}"
        )


def build_hooks(config: Config, folder: Path, trust: Sequence[str] | None = None) -> list[Hook]:
    return [
        build(node, Hook, f"hooks.{name}", trust, folder=folder, config=config)
        for name, node in config["hooks"].items()
        if node is not None
    ]
