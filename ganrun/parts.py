"""parts: from a plain config to the things a run is made of."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from ganrun import budget, checkpoint, launch
from ganrun.bounds import Positive, Unfit, fitted, shown
from ganrun.build import FROM_A_FILE, build, fit, names_only, resolve
from ganrun.checks import check_stored
from ganrun.data.dataset import Dataset, as_size
from ganrun.data.keeping import glimpse
from ganrun.data.remembering import remembered
from ganrun.data.shards import refuse_unknown
from ganrun.data.streamed import FEW
from ganrun.errors import UserError
from ganrun.finding import CheckpointError, DamagedError, find, newest
from ganrun.limits import STEPS
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


def load_dataset(config: Config, trust: Sequence[str] | None = None, pixels: bool = True) -> Dataset:
    """The data set of a config, read once for a sweep's jobs. Raises UserError when its facts are not the config's.

    Without `pixels` files are listed, but only a few decoded, which stand for all: enough to plan a run, not to train.
    """
    node = config["dataset"] if trust is None else only_reads(config["dataset"])
    if trust is not None:
        try:
            refuse_unknown(node)
        except ValueError as error:
            raise UserError(str(error)) from None
    given = json.dumps(node, sort_keys=True), tuple(trust) if trust is not None else None
    try:
        return _load_dataset(*given, pixels)
    except OSError:
        if pixels:
            raise
        return _load_dataset(*given, True)  # the few that were to stand for all are broken: which, and how many are?


@remembered(2)  # as it is for the plan and for the run
def _load_dataset(node_as_json: str, trust: tuple[str, ...] | None, pixels: bool) -> Dataset:
    node = json.loads(node_as_json)
    with overheard("ganrun.data") as notes:
        with contextlib.nullcontext() if pixels else glimpse():
            dataset = build(node, Dataset, "dataset", trust)
        if not pixels:
            dataset.take(torch.arange(FEW) % len(dataset))  # what is wrong with these is said now
    dataset.notes, dataset.faults, dataset.more_faults = notes, notes.warnings, notes.more
    if "image_size" in node and as_size(node["image_size"]) != dataset.image_size:
        raise UserError(f"dataset.image_size={node['image_size']}, but the data have {list(dataset.image_size)}")
    for fact in ("channels", "classes"):
        if fact in node and node[fact] != getattr(dataset, fact):
            raise UserError(f"dataset.{fact}={node[fact]}, but the data have {getattr(dataset, fact)}")
    return dataset


class Lines(list[str]):
    """Lines that were logged; `warnings` are those of them that warn, and `more` were only counted."""

    def __init__(self) -> None:
        super().__init__()
        self.warnings: list[str] = []
        self.more = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.append(record.getMessage())
        more = getattr(record, "more", 0)
        self.more += more
        self.warnings += self[-1:] if record.levelno >= logging.WARNING and not more else []


@contextlib.contextmanager
def overheard(logger: str) -> Iterator[Lines]:
    """What is logged within the block, as lines: data are read before there is a run, and a log, to say it in."""
    lines = Lines()
    listener = logging.Handler(logging.INFO)
    listener.emit = lines.emit  # type: ignore[method-assign]
    source = logging.getLogger(logger)
    source.addHandler(listener)
    before, source.propagate = source.propagate, False
    level = source.level
    source.setLevel(logging.INFO)
    try:
        yield lines
    finally:
        source.removeHandler(listener)
        source.propagate = before
        source.setLevel(level)


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
    clip_norms(config, system)
    optimizers, schedules = {}, {}
    for name, module in players.items():
        node = {**common, **(own.get(name) or {})}
        schedule, _ = node.pop("schedule", None), node.pop("clip_norm", None)
        schedules[name] = build(schedule, Schedule, "optimizer.schedule", trust) if schedule else Constant()
        cls = resolve(node, Optimizer, "optimizer", trust)
        fit(cls, {k: v for k, v in (own.get(name) or {}).items() if k != "clip_norm"}, f"optimizer.players.{name}")
        optimizers[name] = _build_optimizer(node, cls, module, trust)
    return optimizers, schedules


def clip_norms(config: Config, system: System) -> dict[str, float]:
    """The most that the norm of each player's gradient may be. Players without a limit are not in it.

    Raises UserError for what is no such number; runs from before there was the key have none.
    """
    node, norms = config["optimizer"], {}
    for name in system.players():
        own = (node.get("players") or {}).get(name) or {}
        place = f"optimizer.players.{name}" if "clip_norm" in own else "optimizer"
        norm = own["clip_norm"] if "clip_norm" in own else node.get("clip_norm")
        try:
            fitted(norm, Positive | None)
        except Unfit as error:
            raise UserError(f"{place}.clip_norm={shown(norm)} {error}") from None
        if norm is not None:
            norms[name] = float(norm)
    return norms


def _build_optimizer(node: Config, cls: type, module: nn.Module, trust: Sequence[str] | None) -> Optimizer:
    if cls in (torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD) and "foreach" not in node:
        node.setdefault("fused", True)
    weights = [weight for weight in module.parameters() if weight.requires_grad]
    return build(node, Optimizer, "optimizer", trust, params=weights)


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


def threads_for(asked: int | None, state: Config) -> int | None:
    """For drawing from a run: as asked, else what the run measured when it started, at most what this machine has."""
    stored = state["config"].get("threads")
    return asked or (min(stored, ALL_THREADS) if stored else None)


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
    if not images / batch_size <= STEPS:
        key, value = ("epochs", config["epochs"]) if config["epochs"] is not None else ("kimg", images / 1000)
        raise UserError(f"{key}={value:g} would be more than {STEPS} steps of batch_size={batch_size}: give less")
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
