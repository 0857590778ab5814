"""training: what `ganrun train` refuses before anything is written, and one job of it, new or going on."""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path
from typing import Any, NamedTuple

from ganrun import parts, runs
from ganrun.budget import require_fit
from ganrun.finding import newest
from ganrun.folders import AUTO
from ganrun.plan import Plan, plan

Config = dict[str, Any]

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
    state = parts.load_checkpoint(str(folder if resume == AUTO else resume), "resume")
    trust = parts.trusted(config["trust"])
    require_fit(state, trust, "resume")
    if resume == AUTO:
        assert folder is not None
        return Job(runs.agreed(state["config"], asked, folder), trust, state)
    return Job({**runs.continued(state["config"], asked), "out": None, "resume": None}, trust, state)


def check(config: Config, folder: Path | None) -> Plan:
    """Everything about a job that its parts know before it starts. Raises UserError."""
    asked = job(config, folder)
    return plan(asked.config, asked.trust)


def ended(config: Config, folder: Path | None) -> str | None:
    """A line for a run that has nothing left to do."""
    config, trust, state = job(config, folder)
    if state is None:
        return None
    reached, steps = state["progress"]["step"], parts.length_of(config, parts.load_dataset(config, trust)).steps
    if steps is None or reached < steps:
        return None
    if folder is not None:
        with contextlib.suppress(OSError):  # killed after its last checkpoint, it may say `running` for ever
            runs.write_status(folder, "finished", reached)
    return f"{folder} is at step {reached} already, its end: give a longer length, such as steps={2 * reached}"


def run(config: Config, folder: Path) -> int:
    """One job in its folder. Returns the exit code."""
    if line := ended(config, folder):
        log.info(line)
        return 0
    config, trust, state = job(config, folder)
    for line in plan(config, trust).lines():
        log.info(line)
    trainer = runs.train(config, folder, trust, state)
    shown = os.path.relpath(folder) if folder.is_relative_to(Path.cwd()) else str(folder)
    if (grid := f"grids/step_{trainer.step:06d}.png") and (folder / grid).exists():
        log.info(f"look at    {shown}/{grid}")
    if hasattr(trainer.system, "translate"):
        log.info(f"apply it   ganrun apply ckpt={shown} input=PICTURES out=FOLDER")
    else:
        log.info(f"draw more  ganrun sample ckpt={shown}")
    return trainer.exit_code
