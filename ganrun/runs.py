"""runs: a trainer with its hooks in a folder, from its first step or from a checkpoint."""

from __future__ import annotations

import contextlib
import math
import signal
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from ganrun.average import Average
from ganrun.batches import Stream
from ganrun.checks import LENGTHS
from ganrun.hooks.status import write_status
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
from ganrun.plan import build_hooks, load_weights
from ganrun.trainer import Trainer


def assemble(config: Config, folder: Path, trust: Sequence[str] | None = None) -> Trainer:
    """A trainer at step 0 with all its hooks, for a checked config."""
    folder.mkdir(parents=True, exist_ok=True)
    device = pick_device(config["device"])
    dataset = load_dataset(config, trust)
    set_threads(config["threads"], math.prod(dataset.image_size))
    system = build_system(config, trust).to(device).to(memory_format=torch.channels_last)
    optimizers, schedules = build_optimizers(config, system, trust)
    average = Average(system.drawn_with(), config["average"]["half_life"], config["batch_size"])
    return Trainer(
        system,
        Stream(dataset, config["batch_size"], config["seed"]),
        optimizers,
        schedules,
        average,
        length_of(config, dataset),
        build_hooks(config, folder, trust),
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
