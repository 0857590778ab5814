"""Writes status.json: whether a run is running, finished, stopped or failed, at which step, and why."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ganrun.common.atomic import write_text
from ganrun.training.hooks.hook import Hook, Stage

if TYPE_CHECKING:
    from ganrun.training.record import StepRecord
    from ganrun.training.trainer import Trainer


class Status(Hook):
    """Writes status.json at every log, for people and schedulers that watch the run."""

    stage = Stage.WRITE

    def on_start(self, trainer: Trainer) -> None:
        write_status(self.folder, "running", trainer.step, alarms=trainer.control.alarms)

    def on_step(self, trainer: Trainer, record: StepRecord) -> None:
        if record.means is not None:
            write_status(self.folder, "running", trainer.step, alarms=trainer.control.alarms)

    def on_end(self, trainer: Trainer) -> None:
        state = "stopped" if trainer.control.stopped else "finished"
        write_status(self.folder, state, trainer.step, trainer.control.stopped, trainer.control.alarms)


def write_status(folder: Path, state: str, step: int, reason: str | None = None, alarms: Sequence[str] = ()) -> None:
    """Replace status.json in one operation, so that nobody reads half of it. Without alarms it has no key `alarms`."""
    status = {"state": state, "step": step, "reason": reason, **({"alarms": list(alarms)} if alarms else {})}
    write_text(folder / "status.json", json.dumps(status) + "\n")
