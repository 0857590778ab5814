"""parts: from a plain config to the things a run is made of."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from ganrun import budget, checkpoint, launch
from ganrun.build import FROM_A_FILE, build, names_only, resolve
from ganrun.checks import check_stored
from ganrun.data.dataset import Dataset, as_size
from ganrun.data.shards import refuse_unknown
from ganrun.errors import UserError
from ganrun.finding import CheckpointError, DamagedError, find, newest
from ganrun.losses.loss import AdversarialLoss
from ganrun.schedules import Constant, Schedule
from ganrun.seeding import reseed
from ganrun.stored import check_facts, check_going_on
from ganrun.systems.system import System
from ganrun.trainer import Length
from ganrun.untrusted import check_config, only_reads

Config = dict[str, Any]
LARGE = 64 * 64  # pixels from which on more than one CPU thread pays
ALL_THREADS = torch.get_num_threads()
WEIGHTS = -2  # takes the place of the step in the seed of the first weights


def load_dataset(config: Config, trust: Sequence[str] | None = None) -> Dataset:
    """The data set of a config, read once for a sweep's jobs. Raises UserError when its facts are not the config's."""
    node = config["dataset"] if trust is None else only_reads(config["dataset"])
    if trust is not None:
        try:
            refuse_unknown(node)
        except ValueError as error:
            raise UserError(str(error)) from None
    return _load_dataset(json.dumps(node, sort_keys=True), tuple(trust) if trust is not None else None)


@lru_cache(maxsize=1)
def _load_dataset(node_as_json: str, trust: tuple[str, ...] | None) -> Dataset:
    node = json.loads(node_as_json)
    with overheard("ganrun.data") as notes:
        dataset = build(node, Dataset, "dataset", trust)
    dataset.notes = notes
    if "image_size" in node and as_size(node["image_size"]) != dataset.image_size:
        raise UserError(f"dataset.image_size={node['image_size']}, but the data have {list(dataset.image_size)}")
    for fact in ("channels", "classes"):
        if fact in node and node[fact] != getattr(dataset, fact):
            raise UserError(f"dataset.{fact}={node[fact]}, but the data have {getattr(dataset, fact)}")
    return dataset


@contextlib.contextmanager
def overheard(logger: str) -> Iterator[list[str]]:
    """What is logged within the block, as lines: data are read before there is a run, and a log, to say it in."""
    lines: list[str] = []
    listener = logging.Handler(logging.WARNING)
    listener.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    source = logging.getLogger(logger)
    source.addHandler(listener)
    before, source.propagate = source.propagate, False
    try:
        yield lines
    finally:
        source.removeHandler(listener)
        source.propagate = before


def build_system(config: Config, trust: Sequence[str] | None = None, loss: AdversarialLoss | None = None) -> System:
    """The game of a config, with weights that only depend on its seed. `loss` stands in for the config's own."""
    reseed(config["seed"], WEIGHTS)
    loss = loss or build(config["loss"], AdversarialLoss, "loss", trust)
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
            meant = next((player for player in players if player.rstrip("s") == name.rstrip("s")), sorted(players)[0])
            raise UserError(
                f"optimizer.players names {name!r}, but {type(system).__name__} has the players {sorted(players)}: "
                f"use optimizer.players.{meant}.lr= (with optimizer=adam, if optimizer=adam_ttur named it)"
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
    arguments = {key: _numbers(key, value) if isinstance(value, list) else value for key, value in node.items()}
    if cls in (torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD) and "foreach" not in arguments:
        arguments.setdefault("fused", True)
    weights = [weight for weight in module.parameters() if weight.requires_grad]
    return build(arguments, Optimizer, "optimizer", trust, params=weights)


def _numbers(key: str, values: list[Any]) -> tuple[float, ...]:
    """torch wants betas as floats in a tuple; yaml gives [0, 0.9]."""
    try:
        return tuple(map(float, values))
    except (TypeError, ValueError):
        raise UserError(f"optimizer.{key}={str(values)[:80]} must be a list of numbers") from None


def pick_device(name: str) -> torch.device:
    """auto | cpu | cuda | cuda:1 | mps -> a device that is there. Raises UserError otherwise."""
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if launch.size() > 1 and name in ("auto", "cuda"):
        return torch.device(f"cuda:{launch.local_rank()}" if cuda else "cpu")
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


def find_checkpoint(reference: str, key: str) -> Path:
    try:
        return find(reference)
    except CheckpointError as error:
        raise UserError(f"{key}={error}") from None


def load_checkpoint(reference: str, key: str) -> Config:
    """A checkpoint's state with its config; where a run's newest is damaged, of the one before it, and a line says so.

    Its weights are those of its config, wherever that is used and names only ganrun's own. Raises UserError that names
    the key.
    """
    path = find_checkpoint(reference, key)
    others = newest(path.parent)[1:] if path.name == "last.pt" else []
    try:
        state, damage = checkpoint.load(path), None
    except CheckpointError as error:
        found = first_whole(others) if isinstance(error, DamagedError) else None
        if found is None:
            raise UserError(f"{key}={error}") from None
        state, damage = found, error
    check_run(state, path, key)
    if damage and not launch.rank():
        print(f"ganrun: note: {damage}; taking step {state['progress']['step']} before it", file=sys.stderr)
    return state


def check_run(state: Config, path: Path, key: str) -> None:
    """Raises UserError unless a state is that of a run, and its weights are those of its config."""
    missing = [part for part in ("config", "system", "average", "progress") if not isinstance(state.get(part), dict)]
    if missing:
        raise UserError(f"{key}={path} holds no {missing[0]}: it is not the checkpoint of a run")
    if key == "init_from":  # its weights alone are taken, by networks that are there already
        return
    try:
        check_config(state["config"])
        check_facts(state)
        check_stored(state["config"], whole=key == "resume")
        if key == "resume":
            check_going_on(state)
    except ValueError as error:
        raise UserError(f"{key}={path}: {error}") from None
    if names_only(state["config"].get("model"), FROM_A_FILE):  # others wait for the `trust` of whoever builds them
        budget.require_fit(state, FROM_A_FILE, key)


def first_whole(paths: Sequence[Path]) -> Config | None:
    """The first that can be read."""
    for path in paths:
        with contextlib.suppress(DamagedError):
            return checkpoint.load(path)
    return None


def trusted(packages: str | Sequence[str] | None) -> tuple[str, ...]:
    """What a config that came out of a file may name: ganrun, torch.nn, torch.optim, and what the user adds."""
    return (*FROM_A_FILE, *([packages] if isinstance(packages, str) else packages or ()))
