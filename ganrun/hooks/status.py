"""status.json: whether a run is running, finished, stopped or failed, at which step, and why."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ganrun.hooks.hook import Hook
from ganrun.writing import whole

if TYPE_CHECKING:
    from ganrun.trainer import Trainer


class Status(Hook):
    """Kept up to date at every log, for people and schedulers that look from outside."""

    def on_start(self, trainer: Trainer) -> None:
        write_status(self.folder, "running", trainer.step, alarms=trainer.alarms)

    def on_step(self, trainer: Trainer) -> None:
        if trainer.logged is not None:
            write_status(self.folder, "running", trainer.step, alarms=trainer.alarms)

    def on_end(self, trainer: Trainer) -> None:
        state = "stopped" if trainer.stopped else "finished"
        write_status(self.folder, state, trainer.step, trainer.stopped, trainer.alarms)


def write_status(folder: Path, state: str, step: int, reason: str | None = None, alarms: Sequence[str] = ()) -> None:
    """Replace status.json as a whole: a reader never sees half of it. `alarms` are in it where there are any."""
    status = {"state": state, "step": step, "reason": reason, **({"alarms": list(alarms)} if alarms else {})}
    with whole(folder / "status.json") as temporary:
        temporary.write_text(json.dumps(status) + "\n", encoding="utf-8", newline="\n")
