"""Times the turns of one step on this machine."""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import torch
from torch import Tensor

from ganrun.common.precision import set_precision
from ganrun.data.dataset import Dataset
from ganrun.data.loading.stream import prepare
from ganrun.systems.system import System
from ganrun.training.planning.late_step import ALL_PLAYERS

LONG_PASS = 0.8  # seconds; a batch whose pass takes longer is measured with some of its images
LEAST_ROUNDS, MOST_ROUNDS = 2, 8
ROUNDS_SECONDS = 0.15  # as many rounds as one candidate plays in this time, within the two bounds above
SLOW_PASS = 2.0  # seconds; such a pass is played once for each candidate: making its kernels takes little of its time
GIVE_UP_FIRST = 10.0  # times slower in a first pass that is long, too: not played again, see `hopeless`
GIVE_UP = 3.0  # times slower in all of two passes or more: not played again
CYCLE = 720  # steps: a multiple of 1 to 6, 8, 9, 10, 12, 15 and 16, the usual numbers of lazy penalties and turns
SAME_STEPS = 4  # steps of a kind that are timed; the first one makes kernels and is left out
STEPS_IN_A_ROW = 8  # steps that are timed where no step is known to equal another; the first two are left out
OUT_OF_MEMORY = ("out of memory", "allocate memory", "not enough memory")  # in the messages of CUDA, CPU and MPS


class Passes:
    """Plays the turns of a late step, forward and backward, on a batch. No optimizer moves."""

    def __init__(self, system: System, dataset: Dataset, batch_size: int) -> None:
        self.system = system.to(memory_format=torch.channels_last).train()
        self.dataset, self.batch_size, self.bf16 = dataset, batch_size, False
        self.device = next(system.parameters()).device
        self.batch: dict[str, Tensor] = {}
        self.images = 0

    def in_precision(self, name: str) -> None:
        set_precision(name, self.device)
        self.bf16 = name.startswith("bf16")

    def fastest(self, candidates: Sequence[Any], apply: Callable[[Any], None]) -> dict[Any, float]:
        """The shortest pass of each candidate in seconds. The candidates take turns for a few rounds.

        The shortest counts, because a busy neighbour only adds time.
        """
        apply(candidates[0])
        if not self.batch:
            self.take(self.images_that_fit())
        times: dict[Any, list[float]] = {candidate: [] for candidate in candidates}
        for number in range(1 + rounds_of(self.seconds())):
            for candidate, found in times.items():
                if number and hopeless(found, min(map(min, times.values()))):
                    continue
                apply(candidate)
                found.append(self.seconds())
        # The first pass of a candidate makes its kernels. It counts only where there is no other.
        return {candidate: min(found[1:] or found) for candidate, found in times.items()}

    def images_that_fit(self) -> int:
        """The whole batch, or as many of its images as a pass of `LONG_PASS` seconds has room for.

        Fewer images would make bf16 look slow: casting the weights takes the time of a few images.
        """
        self.take(min(2, self.batch_size))
        self.seconds()
        return min(self.batch_size, max(2, int(self.images * LONG_PASS / self.seconds())))

    def take(self, count: int) -> None:
        raw = self.dataset.take(torch.arange(count) % len(self.dataset))
        self.batch, self.images = self.dataset.transform(prepare(raw, self.device)), count

    def whole_step(self) -> float:
        """Mean seconds of a step's turns on a whole batch, over a cycle of steps.

        Steps that run the same operations are timed once and count as often as they come. So a penalty of every 16th
        step adds a sixteenth of its time, and a generator that moves at every fifth step a fifth of its.
        """
        self.take(self.batch_size)
        alike: dict[Hashable, list[int]] = defaultdict(list)
        for step in range(ALL_PLAYERS, ALL_PLAYERS + CYCLE):
            alike[self.system.graph_key(step)].append(step)
        return sum(len(steps) * self.typical(steps, known=key is not None) for key, steps in alike.items()) / CYCLE

    def typical(self, steps: Sequence[int], known: bool) -> float:
        """Seconds of one of these steps: the median of equal ones, the mean where it is unknown which are equal."""
        if known:
            return statistics.median([self.seconds(step) for step in steps[:SAME_STEPS]][1:])
        return statistics.mean([self.seconds(step) for step in steps[:STEPS_IN_A_ROW]][2:])

    def seconds(self, step: int = ALL_PLAYERS) -> float:
        self.wait()
        start = time.perf_counter()
        self.play(step)
        self.wait()
        return time.perf_counter() - start

    def play(self, step: int) -> None:
        players = self.system.players()
        for turn in self.system.turns(step):
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
                objective = turn.objective(self.batch)
            weights = [weight for weight in players[turn.player].parameters() if weight.requires_grad]
            for weight in weights:
                weight.grad = None
            objective.total.backward(inputs=weights)

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        elif self.device.type == "mps":
            torch.mps.synchronize()


def rounds_of(seconds: float) -> int:
    """How many rounds follow the first one, where a pass takes so many seconds."""
    if seconds > SLOW_PASS:
        return 0
    return min(MOST_ROUNDS, max(LEAST_ROUNDS, int(ROUNDS_SECONDS / seconds)))


def hopeless(found: Sequence[float], best: float) -> bool:
    """Whether a candidate with these passes is so much slower than the best one that it is not played again.

    The first pass of bf16 may be many times slower only because its kernels are made in it. So one pass is enough only
    where it is long: then a number of threads that is 30 times slower on a busy machine costs no second one.
    """
    if len(found) == 1:
        return found[0] > max(GIVE_UP_FIRST * best, LONG_PASS)
    return min(found) > GIVE_UP * best


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the machine or the device has no memory left. On a CPU it is a plain RuntimeError."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in OUT_OF_MEMORY)
