"""Builds a trainer with its hooks, and trains it in a folder, from step 0 or from a checkpoint."""

from __future__ import annotations

import contextlib
import errno
import logging
import math
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from ganrun.checkpoints.find import newest, step_of
from ganrun.checkpoints.load import load_checkpoint
from ganrun.checkpoints.start import load_weights
from ganrun.checkpoints.stored_facts import check_optimizer
from ganrun.common.atomic import make_folder
from ganrun.common.device import pick_device, set_threads
from ganrun.common.distributed import RanksError, World, lost
from ganrun.common.errors import UserError
from ganrun.common.plurals import plural
from ganrun.common.precision import set_precision
from ganrun.common.types import Config
from ganrun.config.builders import load_dataset
from ganrun.config.schema import AUTO, LENGTHS, NEWER, WITH_RESUME, is_place
from ganrun.data.loading.stream import Stream
from ganrun.losses.penalties import Penalty
from ganrun.networks.synced import synchronise_
from ganrun.systems.system import System
from ganrun.training.compile import Proved, compile_networks
from ganrun.training.control import GoBack
from ganrun.training.cuda_graphs import Graphs
from ganrun.training.ema import average_of
from ganrun.training.hooks.hook import Hook
from ganrun.training.hooks.status import write_status
from ganrun.training.length import length_of
from ganrun.training.optimizers import build_optimizers, clip_norms
from ganrun.training.planning.measure import settled
from ganrun.training.planning.plan import build_hooks
from ganrun.training.planning.systems import Systems
from ganrun.training.trainer import StepRunner, Trainer

log = logging.getLogger("ganrun")

# Keys of a model or of data that are newer than some runs, and the values with which a command means such a run, which
# goes on as it was: what it was trained with, and a default that is newer. (): any value.
ADDED: dict[str, tuple[Any, ...]] = {
    ".max_channels": (), ".pack": (1,), ".growth_share": (), ".head_widths": ([], [128]),
    ".crop_scale": (1,), ".small": ("enlarge",), ".turns": (False,), ".depth": (8,), ".profiles": (),
}  # fmt: skip
STOP = {"policy": "stop", "limit": 0}  # for runs that were saved before `non_finite` existed


def assemble(
    config: Config,
    folder: Path,
    trust: Sequence[str] | None = None,
    world: World | None = None,
    systems: Systems | None = None,
) -> Trainer:
    """A trainer at step 0 with all its hooks, for a checked config. It takes the real system out of `systems`.

    `trust` None: the config is the user's own. Otherwise only classes of these packages are built. Raises UserError for
    parts that do not fit each other.
    """
    systems = systems or Systems(config, trust)
    world = world or World()
    if config["precision"] == AUTO:  # `ganrun train` has chosen it before and told the user; other callers have not
        config, _ = settled(config, trust, world, systems=systems)
    if world.first:
        make_folder(folder)
    device = current_device(config)
    dataset = load_dataset(config, trust).to(device)
    set_threads(config["threads"], math.prod(dataset.image_size))
    set_precision(config["precision"], device)
    system = systems.take().to(device).to(memory_format=torch.channels_last)
    if world.size > 1 and config.get("ranks", {}).get("batchnorm") == "synchronised":
        synchronise_(system)
    optimizers, schedules = build_optimizers(config, system, trust)
    prepare_networks(system, config)
    average = average_of(config, system.ema_module())
    when_broken = config.get("non_finite", STOP)
    return Trainer(
        system,
        Stream(dataset, config["batch_size"], config["seed"], world.rank, world.size),
        optimizers,
        schedules,
        average,
        length_of(config, dataset),
        hooks_of_rank(build_hooks(config, folder, trust), world),
        seed=config["seed"],
        device=device,
        bf16=config["precision"].startswith("bf16"),
        flip=dataset.flip,
        turns=dataset.turns,
        log_every=config["log"]["every"],
        skip_limit=when_broken["limit"] if when_broken["policy"] == "skip" else 0,
        recorder=recorder_of(config, device, bool(system.differentiated_once())),
        world=world,
        accumulate=config.get("accumulate", 1),
        clips=clip_norms(config, system),
        burn_in=config.get("burn_in", 1.0),  # runs of earlier versions lack it
    )


def current_device(config: Config) -> torch.device:
    """The device of the run, made the current one: CUDA streams, random generators and graphs belong to that."""
    device = pick_device(config["device"])
    if device.index is not None and device.type == "cuda":
        torch.cuda.set_device(device)
    return device


def prepare_networks(system: System, config: Config) -> None:
    """Tells the penalties in which precision they compute, and compiles the networks of a run with compile=true."""
    for part in system.modules():
        if isinstance(part, Penalty):
            part.compute_in_autocast(config["precision"] == "bf16_all")
    if config.get("compile"):
        compile_networks(system)


def recorder_of(config: Config, device: torch.device, compiles: bool) -> Callable[[Trainer], StepRunner] | None:
    """A function that makes the object that runs each step instead of `play_step`: recorded, compiled or both.

    None: the trainer runs its steps itself. `compiles`: the system has networks that can be compiled.
    """
    graphs = Graphs if device.type == "cuda" and config.get("graphs", "auto") else None
    return partial(Proved, inner=graphs) if config.get("compile") and compiles else graphs


def hooks_of_rank(hooks: list[Hook], world: World) -> list[Hook]:
    """All hooks on the first rank. On other ranks, only their replacements (`Hook.elsewhere`).

    The replacements make the same checks, so that all ranks fail in the same step.
    """
    return hooks if world.first else [other for hook in hooks if (other := hook.elsewhere()) is not None]


def train(
    config: Config,
    folder: Path,
    trust: Sequence[str] | None = None,
    state: Config | None = None,
    world: World | None = None,
    systems: Systems | None = None,
) -> Trainer:
    """Train in `folder`, from step 0 or from the `state` of a checkpoint. Returns the trainer after its last step.

    `state` is emptied after it is loaded, because its tensors would stay in memory for the whole run. The caller must
    hold the lock of the folder. Raises FloatingPointError if a number is not finite, UserError if the state does not
    fit, OSError in one line if the folder is gone or full, and RanksError if another rank has stopped.
    """
    trainer = assemble(config, folder, trust, world, systems)
    if state is not None:
        load_trainer_state(trainer, state)
        state.clear()
    elif config["init_from"] is not None:
        load_weights(trainer.system, load_checkpoint(str(config["init_from"]), "init_from"), config)
        trainer.average = average_of(config, trainer.system.ema_module())
    try:
        with finishing_on_signals(trainer):
            fit(trainer, folder, config.get("non_finite", STOP))
    except BaseException as error:
        reason = lost(error) if trainer.world.size > 1 else None
        if reason:
            error = RanksError(f"lost another rank at step {trainer.step}: {reason}; continue with resume={folder}")
        if trainer.world.first:
            with contextlib.suppress(OSError):  # on a full disk, `error` says so
                write_status(folder, "failed", trainer.step, str(error) or type(error).__name__, trainer.control.alarms)
        if reason:
            raise error from None
        if isinstance(error, OSError) and (line := folder_problem(folder, error)):
            raise OSError(line) from None
        raise
    return trainer


def folder_problem(folder: Path, error: OSError) -> str | None:
    """A line that says that the run's folder is gone or its disk is full. None for other errors."""
    if not folder.is_dir():
        return f"{folder} was removed or renamed during the run: nothing more can be saved"
    if error.errno == errno.ENOSPC:
        return (
            f"{folder}: {error.strerror}; its checkpoints are complete: free some space, then continue with "
            f"resume={folder}"
        )
    return None


def load_trainer_state(trainer: Trainer, state: Config) -> None:
    """Load the state of a checkpoint into a trainer. Raises UserError if it does not fit the config beside it."""
    if (ranks := state["progress"].get("ranks", 1)) != trainer.world.size:
        log.info(
            "this run was saved by %d %s and continues on %d: the batches stay the same, the noise changes",
            ranks, plural("rank", ranks), trainer.world.size,
        )  # fmt: skip
    try:
        for player, optimizer in trainer.optimizers.items():
            check_optimizer(optimizer, state["optimizers"][player], trainer.rates.schedules[player].moves_beta2)
        trainer.load_state_dict(state)
    except (KeyError, ValueError, RuntimeError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"resume: the checkpoint does not fit its own config: {reason}") from None


def fit(trainer: Trainer, folder: Path, when_broken: Config) -> None:
    """Train to the end of the run. A rollback loads an earlier checkpoint and halves the learning rates.

    `when_broken` is the section `non_finite`. With the policy `rollback`, a number that is not finite causes a rollback
    to the last checkpoint. The watchdog may ask for a rollback to the last checkpoint before its symptom began, or to
    the oldest one if there is none before. There are at most `limit` rollbacks in a run; the next one raises
    FloatingPointError.
    """
    while True:
        try:
            return trainer.fit()
        except FloatingPointError as error:
            trainer.world.wait_for_all()  # the first rank may still be writing the last checkpoint
            setbacks = trainer.rates.setbacks + 1
            allowed = when_broken["policy"] == "rollback" or isinstance(error, GoBack)
            if not allowed or setbacks > when_broken["limit"] or not newest(folder):
                raise
            place = checkpoint_before(folder, error.since) if isinstance(error, GoBack) else folder
            seconds = trainer.control.seconds  # `minutes` also counts the time of the steps that are undone
            trainer.load_state_dict(load_checkpoint(str(place), "resume"))
            trainer.rates.setbacks, trainer.control.seconds = setbacks, seconds
            log.warning(
                "%s. Back to step %d, with %g times the learning rates (rollback %d of %d)",
                error, trainer.step, 0.5**setbacks, setbacks, when_broken["limit"],
            )  # fmt: skip


def checkpoint_before(folder: Path, since: int) -> Path:
    """The newest numbered checkpoint of step `since` or before. If there is none, the oldest checkpoint."""
    numbered = [path for path in newest(folder) if step_of(path) >= 0]
    return next((path for path in numbered if step_of(path) <= since), (numbered or [folder])[-1])


@contextlib.contextmanager
def finishing_on_signals(trainer: Trainer) -> Iterator[None]:
    """Handle signals: SIGINT and SIGTERM finish the step and save, a second one stops at once. SIGUSR1 only saves."""
    if threading.current_thread() is not threading.main_thread():  # Python allows handlers in the main thread only
        yield
        return

    def finish(number: int, frame: object) -> None:
        trainer.control.stop(f"stopped by {signal.Signals(number).name}", exit_code=128 + number)
        for ending in (int(signal.SIGINT), int(signal.SIGTERM)):
            signal.signal(ending, before[ending])

    def save(number: int, frame: object) -> None:
        trainer.control.save()

    handlers = {int(signal.SIGINT): finish, int(signal.SIGTERM): finish}
    if hasattr(signal, "SIGUSR1"):  # Windows has none
        handlers[int(signal.SIGUSR1)] = save
    before = {number: signal.getsignal(number) for number in handlers}
    for number, handler in handlers.items():
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


def continued(stored: Config, asked: Config) -> Config:
    """The config of a stored run, with the length, device, threads and data paths of the command that resumes it."""
    config = with_moved_data(stored, asked)
    if any(asked[name] is not None for name in LENGTHS):
        config.update({name: asked[name] for name in LENGTHS})
    config["threads"] = asked["threads"] if asked["threads"] is not None else stored["threads"]
    config["device"] = asked["device"] if asked["device"] != "auto" else stored["device"]
    return config


def with_moved_data(stored: Config, asked: Config) -> Config:
    """The config of a stored run with the data paths of the command that resumes it. Raises what `moved` raises."""
    places = {key: value for key, value in asked["dataset"].items() if is_place(f"dataset.{key}")}
    return {**stored, "dataset": moved(stored["dataset"], places)}


def moved(dataset: Config, places: Config) -> Config:
    """The config of a data set whose files have moved, and of the clean data set inside of a damaged one.

    Raises UserError for a path that the data set does not have.
    """
    for key, value in places.items():
        if value is not None and key not in dataset:
            name = str(dataset.get("_target_")).rpartition(".")[2]
            raise UserError(f"resume: dataset.{key}={as_text(value)}: the data of this run, {name}, have no {key}")
    new = {**dataset, **{key: value for key, value in places.items() if key in dataset}}
    if isinstance(dataset.get("clean"), dict):
        inner = {key: value for key, value in places.items() if key in dataset["clean"] and value is not None}
        new["clean"] = moved(dataset["clean"], inner)
    return new


def continued_if_same(stored: Config, asked: Config, folder: Path) -> Config:
    """As `continued`, for resume=auto, whose command gives the whole config again.

    Raises UserError if `asked` is not the config of the run in `folder`.
    """
    stored = with_moved_data(stored, asked)
    # without the keys that did not exist when the run was stored
    known = {key: value for key, value in asked.items() if key in stored}
    measured = ("precision",) if asked["precision"] == AUTO else ()  # it was measured when the run started
    for key, before, now in differences({key: stored[key] for key in known}, known):
        newer = key in NEWER or (before is None and is_added(key, now))
        if key not in (*WITH_RESUME, "out", *measured) and not newer:
            raise UserError(
                f"resume=auto: the run in {folder} has {key}={as_text(before)}, but this command has "
                f"{key}={as_text(now)}: choose another out=, or give the command of that run"
            )
    return continued(stored, asked)


def is_added(key: str, value: Any) -> bool:
    """Whether a network's key is newer than some runs, and has a value with which a command means such a run."""
    return any(key.endswith(end) and (not usual or value in usual) for end, usual in ADDED.items())


def differences(one: Any, other: Any, place: str = "") -> Iterator[tuple[str, Any, Any]]:
    """(key, value in one, value in the other) for each difference of two configs. None: there is no such key."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in {**one, **other}:
            yield from differences(one.get(key), other.get(key), f"{place}.{key}" if place else key)
    elif one != other:
        yield place, one, other


def as_text(value: Any) -> str:
    """A value for a message; a section as {...}."""
    return "{...}" if isinstance(value, dict) else "null" if value is None else str(value)
