"""`ganrun train`: checks a run before it writes anything, then trains it, from the start or from a checkpoint."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ganrun.checkpoints import load
from ganrun.checkpoints.find import find_checkpoint, newest
from ganrun.checkpoints.memory_limit import require_fit
from ganrun.commands.train.already_done import Reached
from ganrun.commands.train.hints import hints
from ganrun.common.distributed import World
from ganrun.common.folders import AUTO, alone_in
from ganrun.common.types import Config
from ganrun.config import builders
from ganrun.systems.system import System
from ganrun.training import length, runs
from ganrun.training.planning.measure import settled
from ganrun.training.planning.plan import Plan, plan, require_batch
from ganrun.training.planning.systems import Systems

log = logging.getLogger("ganrun")


class Job(NamedTuple):
    """One run that is to be started or continued.

    `config` is the complete config. `trust` names the packages whose classes the config may use; None: it is the user's
    own and may use any class. `state` is the content of the checkpoint from which the run continues, and `source`
    identifies its file (see `stamp`). `on_meta` is its system without numbers, which was compared with the checkpoint.
    """

    config: Config
    trust: tuple[str, ...] | None = None
    state: Config | None = None
    source: tuple[int, ...] | None = None
    on_meta: System | None = None

    def systems(self) -> Systems:
        return Systems(self.config, self.trust, self.on_meta)


class Checked(NamedTuple):
    """A job that may start, its plan with what was built for it, and a line if it has nothing left to do."""

    job: Job
    plan: Plan
    end: str | None


def job_of(config: Config, folder: Path | None) -> Job:
    """A new run in `folder`, or the one that `resume` names or that `auto` finds there. Raises UserError."""
    asked, resume = {**config, "resume": None, "out": None}, config["resume"]
    if resume is None or (resume == AUTO and not (folder and newest(folder))):
        return Job(asked)  # without its folder: the same run in another folder has the same checkpoint
    reference = str(folder if resume == AUTO else resume)
    source = stamp(reference)
    state = load.load_checkpoint(reference, "resume")
    trust = load.trusted(config["trust"])
    on_meta = require_fit(state, trust, "resume")
    if resume == AUTO:
        assert folder is not None
        same = runs.continued_if_same(state["config"], asked, folder)
        return Job(same, trust, state, source, on_meta)
    return Job({**runs.continued(state["config"], asked), "out": None, "resume": None}, trust, state, source, on_meta)


def stamp(reference: str) -> tuple[int, ...]:
    """Numbers that identify the file of a checkpoint: at least one changes if the file is replaced."""
    found = os.stat(find_checkpoint(reference, "resume"))
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def check(config: Config, folder: Path | None) -> Checked:
    """Check and plan a run without writing a file. Raises UserError for a run that cannot start."""
    job = job_of(config, folder)
    planned = plan(job.config, job.trust, state=job.state, pixels=False, systems=job.systems())
    # said before steps are timed, because these may need more memory than there is
    for line in planned.memory.warning(planned.device, job.config):
        print(f"ganrun: note: {line}", file=sys.stderr)
    if config["dry_run"] and job.state is None:
        settings, choice = settled(job.config, job.trust, pixels=False, systems=planned.systems)
        planned = plan(settings, job.trust, choice, pixels=False, systems=planned.systems)
    if not config["dry_run"]:  # decodes all pictures, so that broken data are refused before there is a folder
        require_batch(job.config, builders.load_dataset(job.config, job.trust))
    reached = reached_by(job)
    return Checked(job, planned, reached.line(str(folder)) if reached and reached.nothing_left else None)


def reached_by(job: Job) -> Reached | None:
    """How far the stored run has come that the job continues. None for a new run."""
    if job.state is None:
        return None
    counted = job.config["epochs"] is not None  # an epoch does not count broken pictures, so all must be decoded
    dataset, stored = builders.load_dataset(job.config, job.trust, pixels=counted), job.state["config"]
    before, now = (length.length_of(config, dataset) for config in (stored, job.config))
    return Reached(stored, job.config, job.state["progress"], before, now, len(dataset))


def run(
    config: Config,
    folder: Path,
    world: World | None = None,
    *,
    record: Callable[[Config], None] = lambda settings: None,
    config_dir: Path | None = None,
    checked: Checked | None = None,
) -> int:
    """One job in its folder, which is its own from before the checkpoint is read. Returns the exit code.

    The first rank alone locks the folder, writes there and speaks. `record` gets the settings that were measured;
    `config_dir` is where the user's own classes lie. `checked` is what `check` returned for the same config: what was
    read and built for it is used again.
    """
    world = world or World()
    with alone_in(folder) if world.first else contextlib.nullcontext():
        job, systems = still(checked, config, folder)
        reached = reached_by(job)
        if reached and reached.nothing_left:
            if world.first:
                write_end(folder, reached)
            log.info(reached.line(str(folder)))
            return 0
        choice = None
        if job.state is None:  # a stored run keeps the values that were chosen when it started
            settings, choice = settled(job.config, job.trust, world, systems=systems)
            job = job._replace(config=settings)
            record(choice.settings)
        if world.first:
            for line in plan(job.config, job.trust, choice, job.state, systems=systems).lines():
                log.info(line)
        trainer = runs.train(job.config, folder, job.trust, job.state, world, systems)
    if not world.first:
        return trainer.control.exit_code
    translates = hasattr(trainer.system, "translate")
    for line in hints(folder, job.config, trainer.step, translates, config_dir):
        log.info(line)
    return trainer.control.exit_code


def nothing_to_do(checked: Checked, folder: Path) -> str:
    """The line for a run that has nothing left to do. Writes `finished` into its status.json."""
    reached = reached_by(checked.job)
    assert reached is not None
    assert checked.end is not None
    with alone_in(folder):
        write_end(folder, reached)
    return checked.end


def write_end(folder: Path, reached: Reached) -> None:
    """Write `finished` into status.json. A run that was killed after its last checkpoint left `running` there."""
    if reached.at_its_end:
        with contextlib.suppress(OSError):
            runs.write_status(folder, "finished", reached.progress["step"])


def still(checked: Checked | None, config: Config, folder: Path) -> tuple[Job, Systems]:
    """The checked job and its systems. If its checkpoint was replaced since then, the job is read again."""
    if checked is not None:
        reference = str(folder if config["resume"] == AUTO else config["resume"])
        appeared = config["resume"] == AUTO and checked.job.state is None and newest(folder)
        if not appeared and checked.job.source in (None, stamp(reference) if checked.job.source else None):
            return checked.job, checked.plan.systems
    job = job_of(config, folder)
    return job, job.systems()
