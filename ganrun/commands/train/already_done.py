"""Says how far a stored run has come, in the unit of the length that is asked for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ganrun.config.schema import LENGTHS
from ganrun.training.length import Length

Config = Mapping[str, Any]


@dataclass
class Reached:
    """How far a stored run has come.

    `stored` and `asked` are the configs of the run and of the command that resumes it; `before` and `now` are the
    lengths in them. `progress` is the part of the checkpoint with step, images and seconds.
    """

    stored: Config
    asked: Config
    progress: Config
    before: Length
    now: Length
    pictures: int  # in one epoch

    @property
    def nothing_left(self) -> bool:
        return self.past(self.now)

    @property
    def at_its_end(self) -> bool:
        return self.past(self.before)

    def past(self, length: Length) -> bool:
        if length.steps is None:
            return self.progress["seconds"] >= 60 * (length.minutes or 0)
        return self.progress["step"] >= length.steps

    def line(self, run: str) -> str:
        """One line: which length is too short, how far the run has come, and which length trains it further.

        `run` is the folder of the run.
        """
        unit = unit_of(self.asked)
        given = self.asked.get(unit)
        far, end = self.reached(unit), self.end(unit)
        state = f"{written(far)} of {written(end)} {unit}" if end is not None else f"{written(far)} {unit}"
        longer = f"{unit}={written(whole_up(2 * max(far, end or 0), unit))}"
        if given is None or given == self.stored.get(unit):
            at_its_end = f"{run} has already reached its end, step {self.progress['step']} ({state}): nothing was done"
            return f"{at_its_end}; to train longer, add a length such as {longer}"
        than = "no more" if written(given) == written(far) else "less"
        start = f"{unit}={written(given)} is {than} than what {run} has reached, {state}: nothing was done"
        if self.at_its_end:
            return f"{start}; to train longer, give more, such as {longer}"
        own = unit_of(self.stored)
        return f"{start}; resume={run} continues to {written(self.end(own) or 0)} {own}, and {longer} trains longer"

    def reached(self, unit: str) -> float:
        """How far the run has come, in this unit: steps, epochs, kimg or minutes."""
        return self.progress["seconds"] / 60 if unit == "minutes" else self.of_steps(self.progress["step"], unit)

    def end(self, unit: str) -> float | None:
        """The stored length of the run in this unit; None if that is unknown."""
        if unit == "minutes" or self.before.steps is None:
            return self.before.minutes if unit == "minutes" else None
        return self.of_steps(self.before.steps, unit)

    def of_steps(self, steps: int, unit: str) -> float:
        images = steps * self.stored["batch_size"]
        return {"steps": steps, "kimg": images / 1000, "epochs": images / self.pictures}[unit]


def unit_of(config: Config) -> str:
    """The key that gives the length of a run. kimg if there is none, because the data set then suggests kimg."""
    return next((name for name in LENGTHS if config.get(name) is not None), "kimg")


def whole_up(number: float, unit: str) -> float:
    """Steps and epochs are whole numbers: 4.69 epochs -> 5."""
    return math.ceil(round(number, 6)) if unit in ("steps", "epochs") else number


def written(number: float) -> str:
    """47.04 -> 47, 0.512 -> 0.512, 12500 -> 12500"""
    return f"{number:.0f}" if number >= 100 or number == int(number) else f"{number:.3g}"
