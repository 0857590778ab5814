"""Learning rate schedules: the factor of the learning rate as a function of progress from 0 to 1."""

from __future__ import annotations

import math

from ganrun.common.bounds import Decay, Share


class Schedule:
    """`factor(progress)` multiplies the learning rate; progress runs from 0 to 1 over the run's steps."""

    needs_an_end = True  # False only if the factor does not depend on the length of the run

    def factor(self, progress: float) -> float:
        raise NotImplementedError


class Constant(Schedule):
    """The learning rate stays constant."""

    needs_an_end = False

    def factor(self, progress: float) -> float:
        return 1.0


class Linear(Schedule):
    """Constant until `start`, then a linear decay to `end` times the rate (CycleGAN: start 0.5, end 0)."""

    def __init__(self, start: Decay = 0.0, end: Share = 0.0) -> None:
        if not 0 <= start < 1 or not 0 <= end <= 1:
            raise ValueError(f"start={start} must lie in [0, 1) and end={end} in [0, 1]")
        self.start, self.end = start, end

    def factor(self, progress: float) -> float:
        decayed = max(0.0, min(1.0, (progress - self.start) / (1 - self.start)))
        return 1 - (1 - self.end) * decayed


class Cosine(Schedule):
    """Half a cosine from the full rate down to `end` of it (Loshchilov and Hutter, 2017, equation 5)."""

    def __init__(self, end: Share = 0.0) -> None:
        if not 0 <= end <= 1:
            raise ValueError(f"end={end} must lie in [0, 1]")
        self.end = end

    def factor(self, progress: float) -> float:
        return self.end + (1 - self.end) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
