"""plan: what a run is going to be, and everything that can be refused before anything is written."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ganrun import estimates, launch
from ganrun.batches import prepare
from ganrun.build import build
from ganrun.checks import check_own
from ganrun.data.dataset import Dataset
from ganrun.errors import UserError
from ganrun.estimates import SavedTensors
from ganrun.hooks.hook import Hook
from ganrun.parts import (
    Config,
    build_optimizers,
    build_system,
    length_of,
    load_checkpoint,
    load_dataset,
    pick_device,
    set_threads,
)
from ganrun.systems.system import System
from ganrun.trainer import Length

REHEARSED = (*range(5), 5040 * 10**5 - 1)  # steps: the first, and one so late that all phases have begun and all move
REHEARSABLE = 50_000_000  # weights: beyond that a rehearsal would take too long to wait for


@dataclass
class Plan:
    """What a run is going to be."""

    config: Config
    dataset: Dataset
    length: Length
    parameters: dict[str, int]
    device: torch.device
    held: int  # bytes of weights, gradients, what optimizers keep, and the average
    activations: int | None  # bytes that a batch's turns keep for their backward passes, estimated; None: too large
    disk: int  # bytes in the run's folder at its end

    def lines(self) -> list[str]:
        size = "×".join(map(str, self.dataset.image_size))
        epoch = len(self.dataset)
        classes = self.dataset.classes or "no"
        colours = f"{self.dataset.channels} channel" + "s" * (self.dataset.channels > 1)
        steps = self.length.steps
        total = (
            f"{steps} steps = {steps * self.config['batch_size'] / 1000:g} kimg = "
            f"{steps * self.config['batch_size'] / epoch:.1f} epochs"
            if steps
            else f"{self.length.minutes:g} minutes"
        )
        weights = ", ".join(f"{name} {count:,}" for name, count in self.parameters.items())
        ranks = launch.size()
        threads = f", {torch.get_num_threads()} threads" if self.device.type == "cpu" else ""
        return [
            f"data        {epoch:,} images of {size}, {colours}, {classes} classes",
            f"parameters  {weights}",
            f"memory      {self.memory()}",
            f"disk        about {mebi(self.disk)}: checkpoints, grids, curves",
            f"length      {total}, batch {self.config['batch_size']}",
            f"device      {self.device}, {self.config['precision']}{threads}",
            *([f"ranks       {ranks}, each with {self.config['batch_size'] // ranks} of a batch"] if ranks > 1 else []),
            *(f"note        {note}" for note in self.dataset.notes),
        ]

    def memory(self) -> str:
        """The sum that can be known, and what it is made of."""
        known = f"{mebi(self.held)} weights, gradients, optimizers, average; {mebi(self.dataset.nbytes)} data"
        if self.activations is None:
            return f"{known}; activations come on top"
        total = self.held + self.dataset.nbytes + self.activations
        return f"about {mebi(total)} besides torch's own: {known}; {mebi(self.activations)} activations"


def mebi(count: float) -> str:
    """1572864 -> 1.5 MiB"""
    size = count / 2**20
    return f"{size:.1f} MiB" if size < 10 else f"{size:,.0f} MiB" if size < 10240 else f"{size / 1024:,.1f} GiB"


def plan(config: Config, trust: Sequence[str] | None = None) -> Plan:
    """Check what only the parts themselves can know, without making weights or writing a file. Raises UserError."""
    if trust is None:  # what came out of a file has passed this door already
        check_own(config)
    device = pick_device(config["device"])
    dataset = load_dataset(config, trust)
    set_threads(config["threads"], math.prod(dataset.image_size))
    if config["batch_size"] > len(dataset):
        raise UserError(
            f"batch_size={config['batch_size']} is larger than the data: {len(dataset)} images; "
            f"try batch_size={min(64, len(dataset))}"
        )
    if config["batch_size"] % (parts := launch.size() * config.get("accumulate", 1)):
        raise UserError(
            f"batch_size={config['batch_size']} is not divisible by {launch.size()} ranks × "
            f"accumulate={config.get('accumulate', 1)}: choose a multiple of {parts}"
        )
    with torch.device("meta"):
        system = build_system(config, trust)
        optimizers, schedules = build_optimizers(config, system, trust)
    held, stored = estimates.held(system, system.drawn_with(), optimizers)
    counts = {name: sum(weight.numel() for weight in module.parameters()) for name, module in system.players().items()}
    if sum(counts.values()) <= REHEARSABLE:
        activations = rehearse(
            build_system(config, trust), dataset, config["batch_size"], config["precision"].startswith("bf16")
        )
    else:
        activations = None
    hooks = build_hooks(config, Path("."), trust)
    length = length_of(config, dataset)
    if length.steps is None and any(schedule.needs_an_end for schedule in schedules.values()):
        raise UserError("minutes=... has no known last step, which this schedule needs: give steps, epochs or kimg")
    if config["init_from"] is not None:
        load_weights(system, load_checkpoint(str(config["init_from"]), "init_from"))
    picture = dataset.channels * math.prod(dataset.image_size)
    disk = estimates.disk(hooks, stored, length.steps, config["batch_size"], picture)
    return Plan(config, dataset, length, counts, device, held, activations, disk)


def rehearse(system: System, dataset: Dataset, batch_size: int = 2, bf16: bool = False) -> int:
    """A few turns with two images, to be thrown away. Raises UserError where the parts do not fit each other.

    Returns the bytes that a batch would keep for its backward passes.
    """

    def saved(images: int, step: int) -> int:
        saves = SavedTensors([*system.parameters(), *system.buffers()])
        batch = dataset.transform(prepare(dataset.take(torch.arange(images) % len(dataset)), torch.device("cpu")))
        with saves.counted(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            for turn in system.turns(step):
                turn.objective(batch)
        return saves.most

    batch = dataset.take(torch.arange(2) % len(dataset))
    try:
        two = {step: saved(2, step) for step in REHEARSED}
        largest = max(two, key=two.__getitem__)
        return estimates.extrapolated(two[largest], saved(4, largest), batch_size)
    except (RuntimeError, LookupError, ValueError, TypeError, AttributeError, ArithmeticError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        if isinstance(error, KeyError) and error.args[0] == "image":
            reason = f"this model needs image, but the data give {', '.join(batch)}: choose another model= or dataset="
        raise UserError(f"model: the parts do not fit each other: {reason}") from None
    except OSError as error:  # a file that is opened when it is first needed
        raise UserError(str(error)) from None


def build_hooks(config: Config, folder: Path, trust: Sequence[str] | None = None) -> list[Hook]:
    return [
        build(node, Hook, f"hooks.{name}", trust, folder=folder, config=config)
        for name, node in config["hooks"].items()
        if node is not None
    ]


def load_weights(system: System, state: Mapping[str, Any]) -> None:
    """Start from another run's averaged weights; the loss stays fresh. Raises UserError for other networks."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on the meta device only shapes are compared
            networks = {name: tensor for name, tensor in state["system"].items() if not name.startswith("loss.")}
            fresh = {name: tensor for name, tensor in system.state_dict().items() if name.startswith("loss.")}
            system.load_state_dict({**networks, **fresh})
            system.drawn_with().load_state_dict(state["average"])
    except (KeyError, RuntimeError, TypeError, ValueError, AttributeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"init_from: that run's networks are not these: {reason}") from None
