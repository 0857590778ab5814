"""runs: from a plain config to a trainer with its hooks, in a folder."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from ganrun import checkpoint
from ganrun.average import Average
from ganrun.batches import Stream
from ganrun.build import FROM_A_FILE, build, resolve
from ganrun.checks import LENGTHS
from ganrun.data.dataset import Dataset, as_size
from ganrun.errors import UserError
from ganrun.hooks.hook import Hook
from ganrun.hooks.status import write_status
from ganrun.losses.loss import AdversarialLoss
from ganrun.schedules import Constant, Schedule
from ganrun.seeding import reseed
from ganrun.systems.system import System
from ganrun.trainer import Length, Trainer

Config = dict[str, Any]
LARGE = 64 * 64  # pixels from which on more than one CPU thread pays
ALL_THREADS = torch.get_num_threads()
WEIGHTS = -2  # takes the place of the step in the seed of the first weights

log = logging.getLogger("ganrun")


# -- parts --------------------------------------------------------------------------------------------------------


def load_dataset(config: Config, trust: Sequence[str] | None = None) -> Dataset:
    """The data set of a config, read once for a sweep's jobs. Raises UserError when its facts are not the config's."""
    node = config["dataset"]
    return _load_dataset(json.dumps(node, sort_keys=True), tuple(trust) if trust is not None else None)


@lru_cache(maxsize=1)
def _load_dataset(node_as_json: str, trust: tuple[str, ...] | None) -> Dataset:
    node = json.loads(node_as_json)
    dataset = build(node, Dataset, "dataset", trust)
    if "image_size" in node and as_size(node["image_size"]) != dataset.image_size:
        raise UserError(f"dataset.image_size={node['image_size']}, but the data have {list(dataset.image_size)}")
    for fact in ("channels", "classes"):
        if fact in node and node[fact] != getattr(dataset, fact):
            raise UserError(f"dataset.{fact}={node[fact]}, but the data have {getattr(dataset, fact)}")
    return dataset


def build_system(config: Config, trust: Sequence[str] | None = None) -> System:
    """The game of a config, with weights that only depend on its seed."""
    reseed(config["seed"], WEIGHTS)
    loss = build(config["loss"], AdversarialLoss, "loss", trust)
    return build(config["model"], System, "model", trust, loss=loss)


def build_optimizers(
    config: Config, system: System, trust: Sequence[str] | None = None
) -> tuple[dict[str, Optimizer], dict[str, Schedule]]:
    """One optimizer and one schedule for each player: the common settings, then those of `optimizer.players`."""
    common = {key: value for key, value in config["optimizer"].items() if key != "players"}
    own = config["optimizer"].get("players") or {}
    players = system.players()
    for name in own:
        if name not in players:
            raise UserError(
                f"optimizer.players names {name!r}, but {type(system).__name__} has the players {sorted(players)}"
            )
    optimizers, schedules = {}, {}
    for name, module in players.items():
        node = {**common, **(own.get(name) or {})}
        schedule = node.pop("schedule", None)
        schedules[name] = build(schedule, Schedule, "optimizer.schedule", trust) if schedule else Constant()
        optimizers[name] = _build_optimizer(node, module, trust)
    return optimizers, schedules


def _build_optimizer(node: Config, module: nn.Module, trust: Sequence[str] | None) -> Optimizer:
    cls = resolve(node, Optimizer, "optimizer", trust)
    # torch wants betas as floats in a tuple; yaml gives [0, 0.9]
    arguments = {key: tuple(map(float, value)) if isinstance(value, list) else value for key, value in node.items()}
    if cls in (torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD) and "foreach" not in arguments:
        arguments.setdefault("fused", True)
    weights = [weight for weight in module.parameters() if weight.requires_grad]
    return build(arguments, Optimizer, "optimizer", trust, params=weights)


def pick_device(name: str) -> torch.device:
    """auto | cpu | cuda | cuda:1 | mps -> a device that is there. Raises UserError otherwise."""
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if name == "auto":
        return torch.device("cuda" if cuda else "mps" if mps else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UserError(f"device={name} is unknown: auto, cpu, cuda, cuda:1 or mps") from None
    if device.type == "cuda" and not (cuda and (device.index or 0) < torch.cuda.device_count()):
        raise UserError(
            f"device={name}: this machine shows {torch.cuda.device_count()} CUDA devices; "
            "device=auto takes what is there"
        )
    if device.type == "mps" and not mps:
        raise UserError(f"device={name}: no such device on this machine; device=auto takes what is there")
    return device


def set_threads(threads: int | None, pixels: int = LARGE) -> None:
    """CPU threads as asked; else one for images below 64×64, where threads wait for each other longer than they work
    (on a busy machine two were measured to be 2 to 25 times slower than one), and torch's own number above.
    """
    torch.set_num_threads(threads or (1 if pixels < LARGE and "OMP_NUM_THREADS" not in os.environ else ALL_THREADS))


def length_of(config: Config, dataset: Dataset) -> Length:
    """The one length that was given, in steps or minutes; the data set's own suggestion when none was."""
    batch_size = config["batch_size"]
    if config["steps"] is not None:
        return Length(steps=config["steps"])
    if config["minutes"] is not None:
        return Length(minutes=config["minutes"])
    images = config["epochs"] * len(dataset) if config["epochs"] is not None else None
    if images is None:
        images = 1000 * (config["kimg"] if config["kimg"] is not None else dataset.kimg)
    return Length(steps=max(1, round(images / batch_size)))


# -- the plan: everything that can be said before anything is written ------------------------------------------------


@dataclass
class Plan:
    """What a run is going to be."""

    config: Config
    dataset: Dataset
    length: Length
    parameters: dict[str, int]
    device: torch.device

    def lines(self) -> list[str]:
        size = "×".join(map(str, self.dataset.image_size))
        epoch = len(self.dataset)
        classes = self.dataset.classes or "no"
        steps = self.length.steps
        total = (
            f"{steps} steps = {steps * self.config['batch_size'] / 1000:g} kimg = "
            f"{steps * self.config['batch_size'] / epoch:.1f} epochs"
            if steps
            else f"{self.length.minutes:g} minutes"
        )
        weights = ", ".join(f"{name} {count:,}" for name, count in self.parameters.items())
        # weights, gradients, two moments and the average, four bytes each; activations come on top
        memory = sum(self.parameters.values()) * 20 / 2**20 + self.dataset.images.nbytes / 2**20
        threads = f", {torch.get_num_threads()} threads" if self.device.type == "cpu" else ""
        return [
            f"data        {epoch:,} images of {size}, {self.dataset.channels} channels, {classes} classes",
            f"parameters  {weights}",
            f"memory      {memory:.0f} MiB for weights, gradients, optimizers and data; activations come on top",
            f"length      {total}, batch {self.config['batch_size']}",
            f"device      {self.device}, {self.config['precision']}{threads}",
        ]


def plan(config: Config, trust: Sequence[str] | None = None) -> Plan:
    """Check what only the parts themselves can know, without making weights or writing a file. Raises UserError."""
    device = pick_device(config["device"])
    dataset = load_dataset(config, trust)
    if config["batch_size"] > len(dataset):
        raise UserError(
            f"batch_size={config['batch_size']} is larger than the data: {len(dataset)} images; "
            f"try batch_size={min(64, len(dataset))}"
        )
    with torch.device("meta"):
        system = build_system(config, trust)
    _, schedules = build_optimizers(config, system, trust)
    length = length_of(config, dataset)
    if length.steps is None and any(schedule.needs_an_end for schedule in schedules.values()):
        raise UserError("minutes=... has no known last step, which this schedule needs: give steps, epochs or kimg")
    if config["init_from"] is not None:
        find_checkpoint(str(config["init_from"]), "init_from")
    counts = {name: sum(weight.numel() for weight in module.parameters()) for name, module in system.players().items()}
    set_threads(config["threads"], math.prod(dataset.image_size))
    return Plan(config, dataset, length, counts, device)


# -- running ------------------------------------------------------------------------------------------------------


def assemble(config: Config, folder: Path, trust: Sequence[str] | None = None) -> Trainer:
    """A trainer at step 0 with all its hooks, for a checked config."""
    folder.mkdir(parents=True, exist_ok=True)
    device = pick_device(config["device"])
    dataset = load_dataset(config, trust)
    set_threads(config["threads"], math.prod(dataset.image_size))
    system = build_system(config, trust).to(device).to(memory_format=torch.channels_last)
    optimizers, schedules = build_optimizers(config, system, trust)
    average = Average(system.drawn_with(), config["average"]["half_life"], config["batch_size"])
    hooks = [
        build(node, Hook, f"hooks.{name}", trust, folder=folder, config=config)
        for name, node in config["hooks"].items()
        if node is not None
    ]
    return Trainer(
        system,
        Stream(dataset, config["batch_size"], config["seed"]),
        optimizers,
        schedules,
        average,
        length_of(config, dataset),
        hooks,
        seed=config["seed"],
        device=device,
        bf16=config["precision"] == "bf16",
        flip=dataset.flip,
        log_every=config["log"]["every"],
    )


def train(config: Config, folder: Path, trust: Sequence[str] | None = None, state: Config | None = None) -> Trainer:
    """Train in `folder`, from the start or on from a checkpoint's state. Returns the trainer at its end."""
    trainer = assemble(config, folder, trust)
    if state is not None:
        trainer.load_state_dict(state)
    elif config["init_from"] is not None:
        load_weights(trainer.system, load_checkpoint(str(config["init_from"]), "init_from"))
        trainer.average = Average(trainer.system.drawn_with(), config["average"]["half_life"], config["batch_size"])
    try:
        with finishing_on_signals(trainer):
            trainer.fit()
    except BaseException as error:
        write_status(folder, "failed", trainer.step, str(error) or type(error).__name__)
        raise
    return trainer


@contextlib.contextmanager
def finishing_on_signals(trainer: Trainer) -> Iterator[None]:
    """SIGINT and SIGTERM finish the step and save; a second one acts at once."""
    if threading.current_thread() is not threading.main_thread():  # some launchers run jobs elsewhere
        yield
        return

    def finish(number: int, frame: object) -> None:
        trainer.stop(f"stopped by {signal.Signals(number).name}", exit_code=128 + number)
        signal.signal(number, before[number])

    before = {number: signal.signal(number, finish) for number in (int(signal.SIGINT), int(signal.SIGTERM))}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def continued(stored: Config, asked: Config) -> Config:
    """A stored run's config, with the length, place and threads of the command line that resumes it."""
    config = {**stored, "dataset": dict(stored["dataset"])}
    if any(asked[name] is not None for name in LENGTHS):
        config.update({name: asked[name] for name in LENGTHS})
    config["threads"] = asked["threads"] if asked["threads"] is not None else stored["threads"]
    config["device"] = asked["device"] if asked["device"] != "auto" else stored["device"]
    if "root" in asked["dataset"]:  # only there when it was given: the data have moved
        config["dataset"]["root"] = asked["dataset"]["root"]
    return config


def load_weights(system: System, state: Mapping[str, Any]) -> None:
    """Start from another run's averaged weights. Raises UserError when the networks are not the same."""
    try:
        system.load_state_dict(state["system"])
        system.drawn_with().load_state_dict(state["average"])
    except (KeyError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"init_from: that run's networks are not these: {reason}") from None


def find_checkpoint(reference: str, key: str) -> Path:
    try:
        return checkpoint.find(reference)
    except checkpoint.CheckpointError as error:
        raise UserError(f"{key}={error}") from None


def load_checkpoint(reference: str, key: str) -> Config:
    """A checkpoint's state with its config. Raises UserError that names the key."""
    path = find_checkpoint(reference, key)
    try:
        state = checkpoint.load(path)
    except checkpoint.CheckpointError as error:
        raise UserError(f"{key}={error}") from None
    missing = [part for part in ("config", "system", "average", "progress") if not isinstance(state.get(part), dict)]
    if missing:
        raise UserError(f"{key}={path} holds no {missing[0]}: it is not the checkpoint of a run")
    return state


def trusted(packages: Sequence[str] | None) -> tuple[str, ...]:
    """What a config that came out of a file may name: ganrun, torch.nn, torch.optim, and what the user adds."""
    return (*FROM_A_FILE, *(packages or ()))
