"""speed: the precision, the threads and the length that suit this machine, found by playing a few steps of the run."""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from ganrun.common import torchrun
from ganrun.common.device import ALL_THREADS, pick_device, set_threads
from ganrun.common.distributed import World
from ganrun.common.precision import bf16_units, set_precision, settings_kept
from ganrun.common.types import Config
from ganrun.config.builders import load_dataset
from ganrun.config.schema import AUTO, LENGTHS
from ganrun.data.dataset import Dataset
from ganrun.data.loading.stream import prepare
from ganrun.systems.system import System
from ganrun.training.planning.systems import Systems

LATE = 5040 * 10**5 - 1  # a step so late that all phases of a game have begun and every player moves
PASS = 0.8  # seconds that a pass may take; a batch that takes longer is measured by a part of it
ROUNDS, TIMED = (2, 8), 0.15  # passes of each candidate, in turn, as many of these as take so many seconds together
GAIN = 1.15  # bf16 that is not so many times as fast is not worth its rounding
THREAD_GAIN = 1.3  # nor is twice the number of threads, which wait for one another whenever the machine is busy
HOPELESS = (10.0, 3.0)  # times slower after the first pass, and after others: it is not played again
FRAME = 1.25  # a run's step beside its turns: optimizers, weight average, hooks, grids and checkpoints
PLAYED = (
    *LENGTHS,
    "accumulate",
    "model",
    "loss",
    "dataset",
    "batch_size",
    "device",
    "precision",
    "threads",
)  # what a step depends on


@dataclass
class Choice:
    """What `auto` and null become on this machine, and why, a line for people each."""

    settings: dict[str, Any] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """For the plan: what was chosen and why, the overrides that repeat it elsewhere, a warning."""
        chosen = [f"{key}={value} ({self.reasons[key]})" for key, value in self.settings.items()]
        repeat = " ".join(f"{key}={value}" for key, value in self.settings.items())
        warnings = [reason for key, reason in self.reasons.items() if key not in self.settings]
        return [
            *([f"measured    {'; '.join(chosen)}", f"repeat      {repeat}"] if chosen else []),
            *(f"note        {warning}" for warning in warnings),
        ]


KNOWN: dict[str, Choice] = {}  # by what the steps depend on


def settled(
    config: Config,
    trust: Sequence[str] | None = None,
    world: World | None = None,
    pixels: bool = True,
    systems: Systems | None = None,
) -> tuple[Config, Choice]:
    """The config with nothing left open, and what was chosen; the same config where nothing was.

    The first rank of `world` measures, all ranks take what it chose, also after a restart of them all. It plays with a
    copy of the system that `systems` holds.
    """
    world = world or World()

    def ask() -> str:
        return world.same_after_restart("speed", lambda: json.dumps(asdict(choose(config, trust, pixels, systems))))

    choice = Choice(**json.loads(world.from_first_rank(ask, "speed")))
    return {**config, **choice.settings}, choice


def choose(
    config: Config, trust: Sequence[str] | None = None, pixels: bool = True, systems: Systems | None = None
) -> Choice:
    """The settings that a config leaves open, measured on this run's own networks, data and device.

    Runs of one process that play the same steps get the same answer: the jobs of a sweep over seeds or learning rates
    must not differ in their precision too. Randomness and torch's switches are afterwards what they were before.
    """
    same = json.dumps({key: config[key] for key in PLAYED}, sort_keys=True)
    if same not in KNOWN:
        KNOWN[same] = _choose(config, trust, pixels, systems or Systems(config, trust))
    return KNOWN[same]


def _choose(config: Config, trust: Sequence[str] | None, pixels: bool, systems: Systems) -> Choice:
    device, dataset = pick_device(config["device"]), load_dataset(config, trust, pixels)
    length = open_length(config, dataset)
    if config["precision"] not in (AUTO, "bf16", "bf16_all") and config["threads"] is not None and length is None:
        return Choice()
    threads = torch.get_num_threads()
    with settings_kept(), torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        try:
            parts = torchrun.size() * config["accumulate"]  # what is played at once is a part of the batch
            passes = Passes(systems.copy().to(device), dataset, max(1, config["batch_size"] // parts))
            return measured(config, passes, length)
        finally:
            torch.set_num_threads(threads)


def measured(config: Config, passes: Passes, length: float | None) -> Choice:
    choice = Choice()
    set_threads(config["threads"] or 1)
    precision = choose_precision(config["precision"], passes, choice)
    choose_threads(config["threads"], passes, precision, choice)
    if length is not None:
        choose_steps(config, passes, precision, length, choice)
    return choice


# -- the three choices ----------------------------------------------------------------------------------------------


def choose_precision(asked: str, passes: Passes, choice: Choice) -> str:
    """Which precision the run has; `auto` is decided here. bf16 that was asked for is kept, and measured."""
    if asked in ("fp32", "tf32"):
        return asked
    refusal = bf16_units(passes.device)
    if asked == AUTO and refusal:
        choice.settings["precision"], choice.reasons["precision"] = "fp32", refusal
        return "fp32"
    times = passes.fastest(("fp32", "bf16"), passes.in_precision)
    gain = times["fp32"] / times["bf16"]
    if asked == AUTO:
        chosen = "bf16" if gain >= GAIN else "fp32"
        choice.settings["precision"], choice.reasons["precision"] = (
            chosen,
            f"bf16 takes {1 / gain:.2g} of float32's time",
        )
        return chosen
    if gain < 1:
        choice.reasons["precision"] = (
            f"bf16 takes {1 / gain:.2g} times as long as float32 on this machine: precision=auto would choose fp32"
        )
    return asked


def choose_threads(asked: int | None, passes: Passes, precision: str, choice: Choice) -> None:
    """The smallest number of threads after which doubling them no longer pays. OMP_NUM_THREADS is an answer too."""
    if asked is not None:
        return
    best, said = ALL_THREADS, "as torch has it"
    if "OMP_NUM_THREADS" in os.environ:
        said = "by OMP_NUM_THREADS"
    elif passes.device.type == "cpu":
        passes.in_precision(precision)
        best, said = doubled(passes)
    torch.set_num_threads(best)
    choice.settings["threads"], choice.reasons["threads"] = best, said


def doubled(passes: Passes) -> tuple[int, str]:
    """(threads, how they compare with the others that were tried)."""
    best, said = 1, "this machine has one core"
    while best < ALL_THREADS:
        more = min(2 * best, ALL_THREADS)
        times = passes.fastest((best, more), torch.set_num_threads)
        gain = times[best] / times[more]
        said = f"{more} take {1 / gain:.2g} of the time of {best}"
        if gain < THREAD_GAIN:
            break
        best = more
    return best, said


def choose_steps(config: Config, passes: Passes, precision: str, minutes: float, choice: Choice) -> None:
    """As many steps as fit into the minutes that the data set suggests, at most its kimg."""
    passes.in_precision(precision)
    fits = int(60 * minutes / (FRAME * config["accumulate"] * passes.whole_step()))
    most = round(1000 * passes.dataset.kimg / config["batch_size"])
    steps = max(1, min(fits, most))
    choice.settings["steps"] = steps
    choice.reasons["steps"] = f"{'what fits into' if fits < most else 'less than'} {minutes:g} minutes here"


def open_length(config: Config, dataset: Dataset) -> float | None:
    """The minutes that a data set suggests for a run without a length; None where there is a length."""
    return dataset.minutes if all(config[name] is None for name in LENGTHS) else None


# -- the measurement ------------------------------------------------------------------------------------------------


class Passes:
    """The turns of one late step, forward and backward, on a batch. No optimizer moves."""

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
        """Seconds of a pass with each candidate, the fastest of a few rounds in which they take turns."""
        apply(candidates[0])
        if not self.batch:
            self.take(self.size())
        times: dict[Any, list[float]] = {candidate: [] for candidate in candidates}
        least, most = ROUNDS
        for number in range(1 + min(most, max(least, int(TIMED / self.seconds())))):
            for candidate, found in times.items():  # the fastest counts: a busy neighbour only adds time
                if number and min(found) > HOPELESS[number > 1] * min(map(min, times.values())):
                    continue
                apply(candidate)
                found.append(self.seconds())
        # the first pass of a candidate made its kernels, and only counts where it was hopeless at once
        return {candidate: min(found[1:] or found) for candidate, found in times.items()}

    def size(self) -> int:
        """The whole batch, or as many of its images as a pass of `PASS` seconds has room for.

        Fewer images would make bf16 look slow: casting the weights takes the time of a few images.
        """
        self.take(min(2, self.batch_size))
        self.seconds()
        return min(self.batch_size, max(2, int(self.images * PASS / self.seconds())))

    def take(self, count: int) -> None:
        raw = self.dataset.take(torch.arange(count) % len(self.dataset))
        self.batch, self.images = self.dataset.transform(prepare(raw, self.device)), count

    def whole_step(self) -> float:
        """Seconds of a step's turns on a whole batch, the middle of a few steps in a row."""
        self.take(self.batch_size)
        times = [self.seconds(LATE + number) for number in range(8)]
        return statistics.mean(times[2:])

    def seconds(self, step: int = LATE) -> float:
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
