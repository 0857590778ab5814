"""Writes checkpoints. last.pt is always the newest complete one; the last few also have names with their step."""

from __future__ import annotations

import logging
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganrun.checkpoints import checkpoint
from ganrun.checkpoints.find import step_of
from ganrun.common import atomic
from ganrun.common.bounds import Count, Positive
from ganrun.training.hooks.best import AUTO, Best
from ganrun.training.hooks.hook import Hook, Stage
from ganrun.training.nonfinite import has_broken_weights, refuse_broken_weights

if TYPE_CHECKING:
    from ganrun.training.record import StepRecord
    from ganrun.training.trainer import Trainer

log = logging.getLogger("ganrun")


class Checkpoints(Hook):
    """Writes checkpoints/step_001000.pt every `every` steps, at the end, and after a signal. last.pt is the newest.

    best.pt is the checkpoint with the best value of the score `best` (null: no best.pt; auto: the first score of the
    run). The scores are those in the record of a step.

    The newest `keep` checkpoints stay. With `keep_kimg`, the first checkpoint at or after each multiple of so many
    thousand images also stays. A step waits only while the state is copied to host memory; a thread writes the file.
    If writing fails, OSError is raised at the next step at the latest.
    """

    stage = Stage.SAVE
    reads = ("checkpoint",)

    def __init__(
        self,
        folder: Path,
        config: dict[str, Any],
        every: Count = 1000,
        keep: Count = 2,
        keep_kimg: Positive | None = None,
        best: str | None = None,
    ) -> None:
        super().__init__(folder, config)
        self.every, self.keep, self.keep_kimg = every, keep, keep_kimg
        self.checkpoints = self.folder / "checkpoints"
        self.best = Best(self.checkpoints / "best.json", best) if best else None
        # its thread starts with the first checkpoint
        self.writer = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self.writing: Future[None] | None = None

    def remarks(self) -> list[str]:
        section = self.config.get("checkpoint")
        asked = section.get("best") if isinstance(section, dict) else None
        scored = self.best is not None and self.config["hooks"].get("scores") is not None
        if asked in (None, AUTO) or scored:
            return []
        return [
            f"checkpoint.best={ascii(asked).strip(chr(39))} has no effect: this run computes no scores; "
            "hooks=scores computes them"
        ]

    def on_start(self, trainer: Trainer) -> None:
        self.saved, self.batch_size = trainer.step, trainer.stream.batch_size
        self.writing, self.writer = None, ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        later = [path for path in self.numbered() if step_of(path) > trainer.step]
        current = self.checkpoints / f"step_{trainer.step:06d}.pt"
        if later and current.exists():
            point_at(current, "last.pt")  # otherwise the next rollback would load steps that were undone
        for path in later:
            log.warning(
                "%s removed: it is of a later step than step %d, from which the run continues", path.name, trainer.step
            )
            remove(path)
        if self.best:
            self.best.start(trainer.step)

    def on_step(self, trainer: Trainer, record: StepRecord) -> None:
        if self.writing is not None and self.writing.done():
            self.finish_writing()
        if self.best and self.best.beaten(record.scores) and not has_broken_weights(trainer):
            self.save(trainer, self.best.record(trainer.step))
        elif trainer.step % self.every == 0 or record.save_due or trainer.done:
            self.save(trainer)

    def on_end(self, trainer: Trainer) -> None:
        if self.saved != trainer.step:
            self.save(trainer)
        self.finish_writing()
        self.writer.shutdown()

    def on_failure(self, trainer: Trainer) -> None:
        self.writer.shutdown()  # a checkpoint that was copied before the error is still written

    def elsewhere(self) -> Hook:
        return Inspection(self.folder, self.config, self.every)

    def save(self, trainer: Trainer, best: str = "") -> None:
        self.finish_writing()
        if not best:  # all ranks must check together; for best.pt, the other ranks do not know that it is written
            refuse_broken_weights(trainer)
        data = {"class_names": list(getattr(trainer.stream.data, "class_names", []))}
        state = checkpoint.snapshot({"config": self.config, "data": data, **trainer.state_dict()})
        self.writing = self.writer.submit(self.write, state, self.checkpoints / f"step_{trainer.step:06d}.pt", best)
        self.saved = trainer.step

    def write(self, state: dict[str, Any], path: Path, best: str) -> None:
        checkpoint.save(state, path, self.folder)
        point_at(path, "last.pt")
        if self.best and best:
            point_at(path, "best.pt")
            self.best.write(best)
        for old in self.numbered()[: -self.keep]:
            if not self.is_milestone(step_of(old)):
                remove(old)

    def finish_writing(self) -> None:
        """Wait for the thread. Raises OSError, in one line, if it could not write the file."""
        if self.writing is not None:
            writing, self.writing = self.writing, None
            try:
                writing.result()
            except OSError as error:
                raise OSError(
                    f"{self.checkpoints}: a checkpoint cannot be written: {error.strerror or error}; earlier "
                    f"checkpoints are complete: free some space, then continue with resume={self.folder}"
                ) from None

    def is_milestone(self, step: int) -> bool:
        """Whether `step` has the first regular checkpoint at or after a multiple of `keep_kimg`."""
        if self.keep_kimg is None or step % self.every:
            return False
        images = 1000 * self.keep_kimg
        return step * self.batch_size // images > (step - self.every) * self.batch_size // images

    def numbered(self) -> list[Path]:
        """step_….pt, oldest first."""
        return sorted(self.checkpoints.glob("step_*.pt"), key=step_of)


class Inspection(Hook):
    """For ranks that save nothing: refuses broken weights at the same step as the rank that saves."""

    stage = Stage.SAVE

    def __init__(self, folder: Path, config: dict[str, Any], every: int) -> None:
        super().__init__(folder, config)
        self.every = every

    def on_step(self, trainer: Trainer, record: StepRecord) -> None:
        if trainer.step % self.every == 0 or record.save_due or trainer.done:
            refuse_broken_weights(trainer)


def remove(path: Path) -> None:
    """Remove a file from the folder `checkpoints` of a run. If that fails, log a warning."""
    try:
        atomic.remove(path, path.parent.parent)
    except OSError as error:
        log.warning("%s could not be removed: %s", path, error.strerror)


def point_at(path: Path, name: str) -> None:
    """Make last.pt or best.pt a hard link to `path`, or a complete copy where there are no hard links."""
    atomic.same_file(path, name, path.parent.parent)
