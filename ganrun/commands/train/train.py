"""training: what `ganrun train` refuses before anything is written, and one job of it, new or going on."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ganrun.checkpoints import load
from ganrun.checkpoints.find import newest
from ganrun.checkpoints.memory_limit import require_fit
from ganrun.commands.train.already_done import Reached
from ganrun.commands.train.hints import hints
from ganrun.common.distributed import World
from ganrun.common.folders import AUTO, alone_in
from ganrun.common.types import Config
from ganrun.config import builders
from ganrun.training import length, runs
from ganrun.training.planning.measure import settled
from ganrun.training.planning.plan import Plan, plan, require_batch

log = logging.getLogger("ganrun")


class Job(NamedTuple):
    """What one job is: its config, whom the config may trust (None: it is the user's own), where it goes on from."""

    config: Config
    trust: tuple[str, ...] | None = None
    state: Config | None = None


def job(config: Config, folder: Path | None) -> Job:
    """A new run in `folder`, or the one that `resume` names or that `auto` finds there. Raises UserError."""
    asked, resume = {**config, "resume": None, "out": None}, config["resume"]
    if resume is None or (resume == AUTO and not (folder and newest(folder))):
        return Job(asked)  # where a run lies is no part of what it is: the same run elsewhere has the same checkpoint
    state = load.load_checkpoint(str(folder if resume == AUTO else resume), "resume")
    trust = load.trusted(config["trust"])
    require_fit(state, trust, "resume")
    if resume == AUTO:
        assert folder is not None
        return Job(runs.agreed(state["config"], asked, folder), trust, state)
    return Job({**runs.continued(state["config"], asked), "out": None, "resume": None}, trust, state)


def check(config: Config, folder: Path | None) -> tuple[Plan, str | None]:
    """The plan of a job, and a line where it has nothing left to do. Raises UserError for what its parts refuse."""
    asked = job(config, folder)
    planned = plan(asked.config, asked.trust, state=asked.state, pixels=False)
    for line in planned.memory.warning(planned.device, asked.config):  # before steps are played to be measured
        print(f"ganrun: note: {line}", file=sys.stderr)
    if config["dry_run"] and asked.state is None:
        settings, choice = settled(asked.config, asked.trust, pixels=False)
        planned = plan(settings, asked.trust, choice, pixels=False)
    if not config["dry_run"]:  # what decoding finds is refused before there is a folder, too
        require_batch(asked.config, builders.load_dataset(asked.config, asked.trust))
    return planned, ended(asked, folder)


def ended(asked: Job, folder: Path | None) -> str | None:
    """A line for a run that has nothing left to do: it is at its end, or further than the length that is asked for."""
    if asked.state is None:
        return None
    counted = asked.config["epochs"] is not None  # in which broken pictures do not count
    dataset, stored = builders.load_dataset(asked.config, asked.trust, pixels=counted), asked.state["config"]
    before, now = (length.length_of(config, dataset) for config in (stored, asked.config))
    reached = Reached(stored, asked.config, asked.state["progress"], before, now, len(dataset))
    if not reached.nothing_left:
        return None
    if folder is not None and reached.at_its_end:
        with contextlib.suppress(OSError):  # killed after its last checkpoint, it may say `running` for ever
            runs.write_status(folder, "finished", asked.state["progress"]["step"])
    return reached.line(str(folder))


def run(
    config: Config,
    folder: Path,
    world: World | None = None,
    *,
    record: Callable[[Config], None] = lambda settings: None,
    config_dir: Path | None = None,
) -> int:
    """One job in its folder, which is its own from before the checkpoint is read. Returns the exit code.

    The first rank alone locks the folder, writes there and speaks. `record` gets the settings that were measured;
    `config_dir` is where the user's own classes lie.
    """
    world = world or World()
    with alone_in(folder) if world.first else contextlib.nullcontext():
        asked = job(config, folder)
        if line := ended(asked, folder if world.first else None):
            log.info(line)
            return 0
        choice = None
        if asked.state is None:  # a stored run keeps what was chosen when it started
            settings, choice = settled(asked.config, asked.trust, world)
            asked = asked._replace(config=settings)
            record(choice.settings)
        for line in plan(asked.config, asked.trust, choice, asked.state).lines() if world.first else ():
            log.info(line)
        trainer = runs.train(asked.config, folder, asked.trust, asked.state, world)
    if not world.first:
        return trainer.control.exit_code
    translates = hasattr(trainer.system, "translate")
    for line in hints(folder, asked.config, trainer.step, translates, config_dir):
        log.info(line)
    return trainer.control.exit_code
