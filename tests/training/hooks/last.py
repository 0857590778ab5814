"""Last: keeps the record of the last step, for tests to look at."""

from __future__ import annotations

from ganrun.training.hooks.hook import Hook
from ganrun.training.record import StepRecord
from ganrun.training.trainer import Trainer


class Last(Hook):
    def __init__(self) -> None:
        self.logged: dict[str, float] = {}  # the means of the last log

    def on_step(self, trainer: Trainer, record: StepRecord) -> None:
        self.record = record
        self.logged = record.means or self.logged
