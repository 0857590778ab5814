"""Console: a progress bar on a terminal, plain lines elsewhere, the same lines in train.log."""

from __future__ import annotations

import logging
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganrun.bounds import Weight
from ganrun.hooks.hook import Hook
from ganrun.terminal import bar
from ganrun.untrusted import printable

if TYPE_CHECKING:
    from tqdm import tqdm

    from ganrun.trainer import Trainer

log = logging.getLogger("ganrun.progress")

WARM_STEPS, WARM_SECONDS, PATIENCE = 20, 3.0, 15.0  # so long until the speed is told; PATIENCE for slow steps


class Console(Hook):
    """Says images/s, each player's loss, the discriminator's accuracy and the time left.

    A line is written at the first step, then at most every `seconds`, whenever numbers have been read anyway. Once
    warm, another says how fast the run is and when it will be at its end.
    """

    def __init__(self, folder: Path, config: dict[str, Any], seconds: Weight = 5.0) -> None:
        super().__init__(folder, config)
        self.seconds = float(seconds)
        self.bar: tqdm | None = None

    def on_start(self, trainer: Trainer) -> None:
        self.started, self.first_step, self.first_progress = time.monotonic(), trainer.step, trainer.progress
        self.spoke = -self.seconds
        self.warm_from: tuple[float, int, float] | None = None  # time, step and progress after the first step
        self.forecasted = False
        if sys.stderr.isatty():
            self.bar = bar(total=trainer.length.steps, initial=trainer.step, unit="step", dynamic_ncols=True)

    def on_step(self, trainer: Trainer) -> None:
        if self.bar is not None:
            self.bar.update()
        if not self.forecasted:
            self.forecast(trainer)
        if trainer.logged is None or time.monotonic() - self.spoke < self.seconds:
            return
        self.speak(trainer)

    def on_end(self, trainer: Trainer) -> None:
        if self.bar is not None:
            self.bar.close()
        seconds = time.monotonic() - self.started
        images = (trainer.step - self.first_step) * trainer.stream.batch_size
        ended, speed = trainer.stopped or "finished", images / max(seconds, 1e-9)
        log.info(f"{ended} after step {trainer.step}: {images:,} images in {clock(seconds)} ({speed:,.0f} images/s)")

    def on_failure(self, trainer: Trainer) -> None:
        if self.bar is not None:
            self.bar.close()

    def forecast(self, trainer: Trainer) -> None:
        """One line, once the run is warm: its speed without its first step, and the time to its end."""
        now = time.monotonic()
        if self.warm_from is None:
            self.warm_from = now, trainer.step, trainer.progress
            return
        then, step, progress = self.warm_from
        seconds, steps = now - then, trainer.step - step
        if seconds < WARM_SECONDS or (steps < WARM_STEPS and seconds < PATIENCE):
            return
        self.forecasted = True
        left = seconds * (1 - trainer.progress) / max(trainer.progress - progress, 1e-12)
        end = trainer.length.steps or round(trainer.step + left * steps / seconds)
        speed = steps * trainer.stream.batch_size / seconds
        line = f"speed       {speed:,.0f} images/s: about {clock(left)} to step {end}"
        if self.bar is not None:
            self.bar.write(line)
        log.log(logging.INFO if self.bar is None else logging.DEBUG, line)

    def speak(self, trainer: Trainer) -> None:
        now = time.monotonic()
        seconds = now - self.started
        images = (trainer.step - self.first_step) * trainer.stream.batch_size
        done = trainer.progress - self.first_progress
        left = seconds * (1 - trainer.progress) / done if done > 0 else 0.0
        numbers = "  ".join(f"{name} {value:.3f}" for name, value in headline(trainer.logged or {}).items())
        end = f"/{trainer.length.steps}" if trainer.length.steps else ""
        line = f"step {trainer.step}{end}  {images / max(seconds, 1e-9):,.0f} images/s  {numbers}  {clock(left)} left"
        if self.bar is not None:
            self.bar.set_postfix_str(printable(numbers))
            log.debug(line)  # a bar is on the screen: the line goes to train.log alone
        else:
            log.info(line)
        self.spoke = now


def headline(logged: dict[str, float]) -> dict[str, float]:
    """The first term of each player, and the discriminator's accuracy."""
    shown: dict[str, float] = {}
    for name, value in logged.items():
        player, _, term = name.partition("/")
        if player not in shown:
            shown[player] = value
        if term == "accuracy":
            shown["accuracy"] = value
    return shown


def clock(seconds: float) -> str:
    """3725 -> 1:02:05"""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
