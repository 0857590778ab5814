"""Writes metrics.jsonl: one line of numbers for each log. It depends on the config and the seed alone."""

from __future__ import annotations

import json
from typing import IO, TYPE_CHECKING

from ganrun.common.atomic import append, write_text
from ganrun.training.hooks.hook import Hook, Stage
from ganrun.training.metrics_rows import lines_of, row_of

if TYPE_CHECKING:
    from ganrun.training.record import StepRecord
    from ganrun.training.trainer import Trainer


class MetricsFile(Hook):
    """A line has the means of losses and monitors since the last line, and scores as score/NAME.

    It has no times, because these differ from run to run.
    """

    stage = Stage.WRITE
    file: IO[str] | None = None

    def on_start(self, trainer: Trainer) -> None:
        path = self.folder / "metrics.jsonl"
        # a resumed run writes the lines after its checkpoint again
        rows = ((line, row_of(line)) for line in lines_of(path))
        kept = [line.decode().rstrip() for line, row in rows if row is not None and row["step"] <= trainer.step]
        write_text(path, "".join(f"{line}\n" for line in kept))  # a file that cannot be written stays as it was
        self.file = append(path, newline="\n")  # closed in on_end and on_failure

    def on_step(self, trainer: Trainer, record: StepRecord) -> None:
        if self.file is not None and (record.means is not None or record.scores):
            scores = {f"score/{name}": value for name, value in record.scores.items()}
            line = {"step": record.step, "images": record.images, **(record.means or {}), **scores}
            self.file.write(json.dumps(line) + "\n")
            self.file.flush()

    def on_end(self, trainer: Trainer) -> None:
        if self.file is not None:
            self.file.close()

    on_failure = on_end
