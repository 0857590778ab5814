"""Schedules: numbers that are a function of a run's progress, from 0 to 1."""

from __future__ import annotations

import math

from ganrun.common.bounds import Decay, Share


def half_cosine(progress: float, start: float, end: float) -> float:
    """`start` at 0, `end` from 1 on, and level at both (Loshchilov and Hutter, 2017, equation 5)."""
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


class Schedule:
    """`factor(progress)` multiplies the learning rate; progress runs from 0 to 1 over the run's steps."""

    needs_an_end = True  # False only if nothing here depends on the length of the run
    moves_beta2 = False  # True: `beta2` returns a number

    def factor(self, progress: float) -> float:
        raise NotImplementedError

    def beta2(self, progress: float) -> float | None:
        """Adam's second beta. None: what the optimizer has."""
        return None


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
    """Half a cosine from the full rate down to `end` of it; the second of Adam's betas from one number to another.

    R3GAN: end 0.25, beta2 (0.9, 0.99).
    """

    def __init__(self, end: Share = 0.0, beta2: tuple[Decay, Decay] | None = None) -> None:
        if not 0 <= end <= 1:
            raise ValueError(f"end={end} must lie in [0, 1]")
        self.end, self.ends_of_beta2 = end, beta2
        self.moves_beta2 = beta2 is not None

    def factor(self, progress: float) -> float:
        return half_cosine(progress, 1, self.end)

    def beta2(self, progress: float) -> float | None:
        return None if self.ends_of_beta2 is None else half_cosine(progress, *self.ends_of_beta2)
