"""Checkpoints: last.pt is always the newest whole one, beside the last few under their own names."""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganrun import checkpoint
from ganrun.hooks.hook import Hook

if TYPE_CHECKING:
    from ganrun.trainer import Trainer

log = logging.getLogger("ganrun")


class Checkpoints(Hook):
    """checkpoints/step_001000.pt every `every` steps and at the end, the newest `keep` of them kept, and last.pt."""

    def __init__(self, folder: Path, config: dict[str, Any], every: int = 1000, keep: int = 2) -> None:
        super().__init__(folder, config)
        self.every, self.keep = every, keep
        self.checkpoints = self.folder / "checkpoints"

    def on_start(self, trainer: Trainer) -> None:
        self.saved = trainer.step
        for path in self.numbered():
            if step_of(path) > trainer.step:  # resumed from before it: what comes now is another future
                remove(path)

    def on_step(self, trainer: Trainer) -> None:
        if trainer.step % self.every == 0 or trainer.done:
            self.save(trainer)

    def on_end(self, trainer: Trainer) -> None:
        if self.saved != trainer.step:
            self.save(trainer)

    def save(self, trainer: Trainer) -> None:
        trainer.refuse_broken()
        path = self.checkpoints / f"step_{trainer.step:06d}.pt"
        data = {"class_names": list(getattr(trainer.stream.data, "class_names", []))}
        checkpoint.save({"config": self.config, "data": data, **trainer.state_dict()}, path)
        point_last_at(path)
        self.saved = trainer.step
        for old in self.numbered()[: -self.keep]:
            remove(old)

    def numbered(self) -> list[Path]:
        """step_….pt, oldest first."""
        return sorted(self.checkpoints.glob("step_*.pt"), key=step_of)


def step_of(path: Path) -> int:
    digits = path.stem.removeprefix("step_")
    return int(digits) if digits.isdecimal() else -1


def remove(path: Path) -> None:
    try:
        path.unlink()
    except OSError as error:
        log.warning("%s could not be removed: %s", path, error.strerror)


def point_last_at(path: Path) -> None:
    """Make last.pt the same file as `path`, or a copy where the file system has no hard links; never a torn one."""
    last, temporary = path.with_name("last.pt"), path.with_name(f".last.{os.getpid()}.part")
    temporary.unlink(missing_ok=True)
    try:
        os.link(path, temporary)
    except OSError:
        shutil.copyfile(path, temporary)
    os.replace(temporary, last)
    checkpoint.flush_folder(path.parent)
