"""Writes numbers, grids, the speed and the config for TensorBoard."""

from __future__ import annotations

import contextlib
import json
import logging
import secrets
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch

from ganrun.training.hooks.hook import Hook, Stage

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

    from ganrun.training.record import StepRecord
    from ganrun.training.trainer import Trainer

log = logging.getLogger("ganrun")


class TensorBoard(Hook):
    """Writes event files into the run's folder. In the curves of a resumed run, no point is missing or doubled.

    If the files cannot be written, there is one warning, and the run continues without them.
    """

    stage = Stage.SHOW
    writer: SummaryWriter | None = None

    def on_start(self, trainer: Trainer) -> None:
        with self.tolerated():
            from torch.utils.tensorboard import SummaryWriter  # the import takes a second

            # purge also from step 0: a run that was killed before its first checkpoint writes those points again;
            # the name cannot be guessed, because the writer opens the file by its name and would follow a link
            own, purged = f".{secrets.token_hex(8)}", trainer.step + 1 if trainer.step else 0
            self.writer = SummaryWriter(str(self.folder), purge_step=purged, filename_suffix=own)
            if not trainer.step:
                text = json.dumps(self.config, indent=2)
                self.writer.add_text("config", "\n".join(f"    {line}" for line in text.splitlines()), 0)
        self.marked, self.marked_step = time.monotonic(), trainer.step

    def on_step(self, trainer: Trainer, record: StepRecord) -> None:
        if self.writer is None or (record.means is None and not record.pictures and not record.scores):
            return
        with self.tolerated():
            if record.means is not None:
                for name, value in {**record.means, **self.running(trainer)}.items():
                    self.writer.add_scalar(name, value, trainer.step)
            for name, value in record.scores.items():
                self.writer.add_scalar(f"scores/{name}", value, trainer.images // 1000)
            for name, picture in record.pictures.items():
                self.writer.add_image(name, picture, trainer.step)
            self.writer.flush()  # on disk before the checkpoint: a resumed run does not write these points again

    def on_end(self, trainer: Trainer) -> None:
        if self.writer is not None:
            with self.tolerated():
                self.writer.close()

    on_failure = on_end

    @contextlib.contextmanager
    def tolerated(self) -> Iterator[None]:
        """Within this block, an error does not end the run."""
        try:
            yield
        except Exception as error:  # the writer passes on any error of its thread
            self.writer = None
            log.warning("TensorBoard: %s; the run continues without its curves; metrics.jsonl has the numbers", error)

    def running(self, trainer: Trainer) -> dict[str, float]:
        """Images per second since the last log, and the peak memory so far in MiB."""
        now = time.monotonic()
        images = (trainer.step - self.marked_step) * trainer.stream.batch_size
        speed = images / max(now - self.marked, 1e-9)
        self.marked, self.marked_step = now, trainer.step
        if trainer.device.type == "cuda":
            memory = torch.cuda.max_memory_allocated(trainer.device) / 2**20
        else:
            memory = most_memory()
        return {"run/images_per_second": speed, "run/memory_MiB": memory}


def most_memory() -> float:
    """Peak memory of this process in MiB; 0 if the system does not say."""
    try:
        import resource
    except ImportError:  # Windows
        return 0.0
    # kilobytes on Linux, bytes on macOS
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
