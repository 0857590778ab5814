"""runs: a trainer with its hooks in a folder, from its first step or from a checkpoint."""

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
from ganrun.checkpoints.restore import load_weights
from ganrun.checkpoints.stored_facts import check_optimizer
from ganrun.common.atomic import make_folder
from ganrun.common.device import pick_device, set_threads
from ganrun.common.distributed import RanksError, World, lost
from ganrun.common.errors import UserError
from ganrun.common.precision import set_precision
from ganrun.common.types import Config
from ganrun.config.builders import load_dataset
from ganrun.config.schema import AUTO, LENGTHS, MOVABLE, NEWER, WITH_RESUME
from ganrun.data.loading.stream import Stream
from ganrun.losses.penalties import Penalty
from ganrun.networks.synced import synchronise_
from ganrun.training.compile import Proved, compile_networks
from ganrun.training.control import GoBack
from ganrun.training.cuda_graphs import Graphs
from ganrun.training.ema import Average
from ganrun.training.hooks.hook import Hook
from ganrun.training.hooks.status import write_status
from ganrun.training.length import length_of
from ganrun.training.optimizers import build_optimizers, clip_norms
from ganrun.training.planning.measure import settled
from ganrun.training.planning.plan import build_hooks
from ganrun.training.planning.systems import Systems
from ganrun.training.trainer import StepRunner, Trainer

log = logging.getLogger("ganrun")

ADDED = {".max_channels": None, ".pack": 1}  # of a network; a run of before goes on without it. None: whatever it is
STOP = {"policy": "stop", "limit": 0}  # of runs that were saved before there was a choice


def assemble(
    config: Config,
    folder: Path,
    trust: Sequence[str] | None = None,
    world: World | None = None,
    systems: Systems | None = None,
) -> Trainer:
    """A trainer at step 0 with all its hooks, for a checked config. It gets the real system that `systems` holds."""
    systems = systems or Systems(config, trust)
    world = world or World()
    if config["precision"] == AUTO:  # `training` has settled it already, and told the user
        config, _ = settled(config, trust, world, systems=systems)
    if world.first:
        make_folder(folder)
    device = pick_device(config["device"])
    if device.index is not None and device.type == "cuda":
        torch.cuda.set_device(device)  # streams, generators and recordings are those of the current device
    dataset = load_dataset(config, trust).to(device)
    set_threads(config["threads"], math.prod(dataset.image_size))
    set_precision(config["precision"], device)
    system = systems.take().to(device).to(memory_format=torch.channels_last)
    if world.size > 1 and config.get("ranks", {}).get("batchnorm") == "synchronised":
        synchronise_(system)
    optimizers, schedules = build_optimizers(config, system, trust)
    for part in system.modules():
        if isinstance(part, Penalty):
            part.compute_in_autocast(config["precision"] == "bf16_all")
    if config.get("compile"):
        compile_networks(system)
    average = Average(system.ema_module(), config["average"]["half_life"], config["batch_size"])
    when_broken = config.get("non_finite", STOP)
    return Trainer(
        system,
        Stream(dataset, config["batch_size"], config["seed"], world.rank, world.size),
        optimizers,
        schedules,
        average,
        length_of(config, dataset),
        here(build_hooks(config, folder, trust), world),
        seed=config["seed"],
        device=device,
        bf16=config["precision"].startswith("bf16"),
        flip=dataset.flip,
        log_every=config["log"]["every"],
        skip_limit=when_broken["limit"] if when_broken["policy"] == "skip" else 0,
        recorder=recorder_of(config, device, bool(system.differentiated_once())),
        world=world,
        accumulate=config.get("accumulate", 1),
        clips=clip_norms(config, system),
    )


def recorder_of(config: Config, device: torch.device, compiles: bool) -> Callable[[Trainer], StepRunner] | None:
    """What plays the steps in place of the trainer's own `play_step`, if anything does."""
    graphs = Graphs if device.type == "cuda" and config.get("graphs", "auto") else None
    return partial(Proved, inner=graphs) if config.get("compile") and compiles else graphs


def here(hooks: list[Hook], world: World) -> list[Hook]:
    """All hooks on the first rank; on the others what they leave there, so that all ranks fail in the same step."""
    return hooks if world.first else [left for hook in hooks if (left := hook.elsewhere()) is not None]


def train(
    config: Config,
    folder: Path,
    trust: Sequence[str] | None = None,
    state: Config | None = None,
    world: World | None = None,
    systems: Systems | None = None,
) -> Trainer:
    """Train in `folder`, from the start or on from a checkpoint's state. Returns the trainer at its end.

    `state` is emptied once it is restored: its tensors would lie in memory beside the trainer's for the whole run.
    The caller holds the folder's lock. Raises FloatingPointError when the numbers went wrong.
    """
    trainer = assemble(config, folder, trust, world, systems)
    if state is not None:
        restore(trainer, state)
        state.clear()
    elif config["init_from"] is not None:
        load_weights(trainer.system, load_checkpoint(str(config["init_from"]), "init_from"))
        trainer.average = Average(trainer.system.ema_module(), config["average"]["half_life"], config["batch_size"])
    try:
        with finishing_on_signals(trainer):
            fit(trainer, folder, config.get("non_finite", STOP))
    except BaseException as error:
        gone = lost(error) if trainer.world.size > 1 else None
        if gone:
            error = RanksError(f"lost another rank at step {trainer.step}: {gone}; go on with resume={folder}")
        if trainer.world.first:
            with contextlib.suppress(OSError):  # a full disk is being reported already
                write_status(folder, "failed", trainer.step, str(error) or type(error).__name__, trainer.control.alarms)
        if gone:
            raise error from None
        if isinstance(error, OSError) and (line := wrong_with(folder, error)):
            raise OSError(line) from None
        raise
    return trainer


def wrong_with(folder: Path, error: OSError) -> str | None:
    """A line for a run's folder that is gone or full; None where the error speaks for itself."""
    if not folder.is_dir():
        return f"{folder} was removed or renamed while its run went on: nothing more is saved"
    if error.errno == errno.ENOSPC:
        return f"{folder}: {error.strerror}; its checkpoints are whole: make room, then go on with resume={folder}"
    return None


def restore(trainer: Trainer, state: Config) -> None:
    """Raises UserError where a checkpoint of sound parts does not fit the run that it describes."""
    if (ranks := state["progress"].get("ranks", 1)) != trainer.world.size:
        log.info(
            "this run was saved by %d ranks and goes on with %d: batch and data order stay, other noise is drawn",
            ranks, trainer.world.size,
        )  # fmt: skip
    try:
        for player, optimizer in trainer.optimizers.items():
            check_optimizer(optimizer, state["optimizers"][player])
        trainer.load_state_dict(state)
    except (KeyError, ValueError, RuntimeError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"resume: the checkpoint does not fit its own config: {reason}") from None


def fit(trainer: Trainer, folder: Path, when_broken: Config) -> None:
    """To the end; under `rollback`, back to the last checkpoint at half the rate, at most `limit` times in a run.

    Where the watchdog sends it back: to the last checkpoint from before what it saw, or the oldest that is kept.
    """
    while True:
        try:
            return trainer.fit()
        except FloatingPointError as error:
            trainer.world.wait_for_all()  # until the first rank has written what it had copied
            setbacks = trainer.rates.setbacks + 1
            may = when_broken["policy"] == "rollback" or isinstance(error, GoBack)
            if not may or setbacks > when_broken["limit"] or not newest(folder):
                raise
            place = sound(folder, error.since) if isinstance(error, GoBack) else folder
            seconds = trainer.control.seconds  # what was played in vain counts where the length is in minutes
            trainer.load_state_dict(load_checkpoint(str(place), "resume"))
            trainer.rates.setbacks, trainer.control.seconds = setbacks, seconds
            log.warning(
                "%s. Back to step %d, with %g times the learning rates (rollback %d of %d)",
                error, trainer.step, 0.5**setbacks, setbacks, when_broken["limit"],
            )  # fmt: skip


def sound(folder: Path, since: int) -> Path:
    """The newest numbered checkpoint of step `since` or before; the oldest there is, where none is."""
    numbered = [path for path in newest(folder) if step_of(path) >= 0]
    return next((path for path in numbered if step_of(path) <= since), (numbered or [folder])[-1])


@contextlib.contextmanager
def finishing_on_signals(trainer: Trainer) -> Iterator[None]:
    """SIGINT and SIGTERM finish the step and save; a second one acts at once. SIGUSR1 saves and goes on."""
    if threading.current_thread() is not threading.main_thread():  # some launchers run jobs elsewhere
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
    """A stored run's config, with the length, place and threads of the command line that resumes it."""
    config = {**stored, "dataset": dict(stored["dataset"])}
    if any(asked[name] is not None for name in LENGTHS):
        config.update({name: asked[name] for name in LENGTHS})
    config["threads"] = asked["threads"] if asked["threads"] is not None else stored["threads"]
    config["device"] = asked["device"] if asked["device"] != "auto" else stored["device"]
    for key in MOVABLE:
        place = key.removeprefix("dataset.")
        if place in asked["dataset"] and place in stored["dataset"]:  # only there when given: the data have moved
            config["dataset"][place] = asked["dataset"][place]
    return config


def agreed(stored: Config, asked: Config, folder: Path) -> Config:
    """`continued`, for a command that names the whole run again. Raises UserError where it means another run."""
    known = {key: value for key, value in asked.items() if key in stored}  # the others are newer than the run
    measured = ("precision",) if asked["precision"] == AUTO else ()  # when it started
    for key, before, now in unlike({key: stored[key] for key in known}, known):
        newer = key in NEWER or (before is None and is_added(key, now))
        if key not in (*WITH_RESUME, "out", *measured) and not newer:
            raise UserError(
                f"resume=auto: the run in {folder} has {key}={shown(before)}, this command {key}={shown(now)}: "
                "choose another out=, or give the same command"
            )
    return continued(stored, asked)


def is_added(key: str, value: Any) -> bool:
    """Whether a network's key is newer than some runs, and has the value that such runs were played with."""
    return any(key.endswith(end) and usual in (None, value) for end, usual in ADDED.items())


def unlike(one: Any, other: Any, place: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Where two configs differ, and what is there in each; None where one has nothing."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in {**one, **other}:
            yield from unlike(one.get(key), other.get(key), f"{place}.{key}" if place else key)
    elif one != other:
        yield place, one, other


def shown(value: Any) -> str:
    return "{...}" if isinstance(value, dict) else "null" if value is None else str(value)
