"""Console: a progress bar on a terminal, plain lines elsewhere, the same lines in train.log."""

from __future__ import annotations

import contextlib
import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganrun.common.bounds import Weight
from ganrun.common.plurals import plural
from ganrun.training.hooks.bar import Bar, News, lines_above, wanted
from ganrun.training.hooks.hook import Hook, Stage

if TYPE_CHECKING:
    from ganrun.training.record import StepRecord
    from ganrun.training.trainer import Trainer

log = logging.getLogger("ganrun.progress")

# The speed is shown after WARM_STEPS steps and WARM_SECONDS seconds. If steps are slow, PATIENCE seconds are enough.
WARM_STEPS, WARM_SECONDS, PATIENCE = 20, 3.0, 15.0


class Console(Hook):
    """Shows images/s, the loss of each player, the accuracy of the discriminator and the time left.

    A line is written at the first log, and then at a log if the last line is at least `seconds` seconds old. When the
    speed is steady, one more line gives the speed and the time to the end. At the end, the warnings of the watchdog are
    repeated.
    """

    stage = Stage.SPEAK

    def __init__(self, folder: Path, config: dict[str, Any], seconds: Weight = 5.0) -> None:
        super().__init__(folder, config)
        self.seconds = float(seconds)
        self.bar: Bar | None = None
        self.screen = contextlib.ExitStack()  # closes the bar at the end

    def on_start(self, trainer: Trainer) -> None:
        self.started, self.first_step, self.first_progress = time.monotonic(), trainer.step, trainer.progress
        self.spoke = -self.seconds
        self.warm_from: tuple[float, int, float] | None = None  # time, step and progress after the first step
        self.forecasted = False
        self.news = News(trainer.step, trainer.length.steps, trainer.progress)
        if wanted():
            self.screen.enter_context(lines_above())
            self.bar = self.screen.enter_context(Bar(self.news, unit="step"))

    def on_step(self, trainer: Trainer, record: StepRecord) -> None:
        self.news.step, self.news.progress = trainer.step, trainer.progress
        if not self.forecasted:
            self.forecast(trainer)
        if record.means is not None and time.monotonic() - self.spoke >= self.seconds:
            self.speak(trainer, record.means)
        if self.bar is not None:
            if pace := self.pace(trainer):
                self.news.speed, self.news.left = pace[0], clock(pace[1])
            self.bar.update()

    def on_end(self, trainer: Trainer) -> None:
        self.screen.close()
        seconds = time.monotonic() - self.started
        images = (trainer.step - self.first_step) * trainer.stream.batch_size
        ended, speed = trainer.control.stopped or "finished", images / max(seconds, 1e-9)
        count = f"{images:,} {plural('image', images)}"
        log.info(f"{ended} after step {trainer.step}: {count} in {clock(seconds)} ({speed:,.0f} images/s)")
        for alarm in trainer.control.alarms:
            if alarm != trainer.control.stopped:  # the reason for the stop was in the line before
                log.warning(f"remember   {alarm.removeprefix('watchdog  ')}")

    def on_failure(self, trainer: Trainer) -> None:
        self.screen.close()

    def pace(self, trainer: Trainer) -> tuple[float, float] | None:
        """(images per second, seconds left), without the first step, which is slow. None: not known yet."""
        if self.warm_from is None or trainer.step <= self.warm_from[1] or trainer.progress <= self.warm_from[2]:
            return None
        then, step, progress = self.warm_from
        seconds = max(time.monotonic() - then, 1e-9)
        left = seconds * (1 - trainer.progress) / (trainer.progress - progress)
        return (trainer.step - step) * trainer.stream.batch_size / seconds, left

    def forecast(self, trainer: Trainer) -> None:
        """Log the speed and the time to the end, once, when the speed is steady. The first step does not count."""
        now = time.monotonic()
        if self.warm_from is None:
            self.warm_from = now, trainer.step, trainer.progress
            return
        seconds, steps = now - self.warm_from[0], trainer.step - self.warm_from[1]
        pace = self.pace(trainer)
        if pace is None or seconds < WARM_SECONDS or (steps < WARM_STEPS and seconds < PATIENCE):
            return
        self.forecasted = True
        speed, left = pace
        end = trainer.length.steps or round(trainer.step + left * steps / seconds)
        log.info(f"speed       {speed:,.0f} images/s: about {clock(left)} to step {end}")

    def speak(self, trainer: Trainer, means: dict[str, float]) -> None:
        numbers = headline(means)
        end = f"/{trainer.length.steps}" if trainer.length.steps else ""
        said = [f"step {trainer.step}{end}", *(f"{name} {value:.3f}" for name, value in numbers.items())]
        self.news.numbers = numbers
        if pace := self.pace(trainer):
            said = [said[0], f"{pace[0]:,.0f} images/s", *said[1:], f"{clock(pace[1])} left"]
        # where a bar is on the screen, the line goes to train.log only
        log.log(logging.INFO if self.bar is None else logging.DEBUG, "  ".join(said))
        self.spoke = time.monotonic()


def headline(means: dict[str, float]) -> dict[str, float]:
    """The first term of each player's loss, and the accuracy of the discriminator."""
    numbers: dict[str, float] = {}
    for name, value in means.items():
        player, _, term = name.partition("/")
        if player not in numbers:
            numbers[player] = value
        if term == "accuracy":
            numbers["accuracy"] = value
    return numbers


def clock(seconds: float) -> str:
    """Seconds as hours, minutes and seconds: 3725 -> 1:02:05."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
