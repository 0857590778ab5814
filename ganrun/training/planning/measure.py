"""Chooses the precision, the number of threads and the length of a run, by timing a few of its steps."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from ganrun.common import torchrun
from ganrun.common.command_line import Line
from ganrun.common.device import ALL_THREADS, pick_device
from ganrun.common.distributed import World
from ganrun.common.precision import bf16_units, settings_kept
from ganrun.common.types import Config
from ganrun.config.builders import load_dataset
from ganrun.config.schema import AUTO, LENGTHS
from ganrun.data.dataset import Dataset
from ganrun.training.planning.passes import Passes, is_out_of_memory
from ganrun.training.planning.systems import Systems

BF16_GAIN = 1.15  # bf16 must be at least so many times as fast as float32: a smaller gain is not worth its rounding
DEEP = "these pictures have more than 8 bits, and bf16 has 8"
POINTS = "bf16 has two to three digits, and a point needs more"
# Twice the threads must be at least so many times as fast: on a busy machine threads wait for each other.
THREADS_GAIN = 1.3
WHOLE_STEP = 1.25  # time of a step / time of its turns: there are also optimizers, averages, hooks and checkpoints
MEASURED = ("precision", "threads", "steps")  # keys that may have no value yet, in the order of the plan
COMPARED = ("precision", "steps")  # jobs that differ in these cannot be compared fairly
STEP_KEYS = (  # what the time of a step depends on
    *LENGTHS,
    "accumulate",
    "model",
    "loss",
    "dataset",
    "batch_size",
    "device",
    "precision",
    "threads",
)


@dataclass
class Choice:
    """The values chosen for the keys that were `auto` or null, each with a reason in one line.

    A reason whose key has no value is a note.
    """

    settings: dict[str, Any] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)

    def add(self, key: str, value: Any, reason: str) -> None:
        self.settings[key], self.reasons[key] = value, reason

    def lines(self) -> list[str]:
        """Lines of the plan: the values with their reasons, the overrides that repeat the run elsewhere, the notes."""
        settings = {key: self.settings[key] for key in MEASURED if key in self.settings}
        chosen = [f"{key}={value} ({self.reasons[key]})" for key, value in settings.items()]
        repeat = " ".join(f"{key}={value}" for key, value in settings.items())
        notes = [reason for key, reason in self.reasons.items() if key not in settings]
        return [
            *([f"measured    {'; '.join(chosen)}", f"repeat      {repeat}"] if chosen else []),
            *(f"note        {note}" for note in notes),
        ]


KNOWN: dict[str, Choice] = {}  # the choices of this process; the key is made of the values of STEP_KEYS
JOBS: dict[int, list[Choice]] = {}  # the choices of the jobs of each command line, by its number


def settled(
    config: Config,
    trust: Sequence[str] | None = None,
    world: World | None = None,
    pixels: bool = True,
    systems: Systems | None = None,
) -> tuple[Config, Choice]:
    """Returns the completed config, and the values that were filled in.

    A key whose value is `auto` or null gets a value that is measured on this machine. If there is no such key, the
    config stays the same. Only the first rank of `world` measures, on a copy of the system in `systems`. All ranks use
    its values, even after torchrun has restarted them. With pixels=False, only the first few pictures are decoded.
    """
    world = world or World()

    def ask() -> str:
        return world.same_after_restart("speed", lambda: json.dumps(asdict(choose(config, trust, pixels, systems))))

    choice = Choice(**json.loads(world.from_first_rank(ask, "speed")))
    return {**config, **choice.settings}, choice


def choose(
    config: Config, trust: Sequence[str] | None = None, pixels: bool = True, systems: Systems | None = None
) -> Choice:
    """Values for the keys that are `auto` or null, measured with the networks, the data and the device of this run.

    Two runs in one process get the same values if their steps cost the same. So the jobs of a sweep over seeds or
    learning rates have the same precision. Jobs with different models or losses may get different values; then there is
    a note. Runs of other command lines are not compared. The random state and the settings of torch are restored
    afterwards.
    """
    cost_key = json.dumps({key: config[key] for key in STEP_KEYS}, sort_keys=True)
    if cost_key not in KNOWN:
        KNOWN[cost_key] = _choose(config, trust, pixels, systems or Systems(config, trust))
    choice, jobs = KNOWN[cost_key], JOBS.setdefault(Line.number, [])
    note = difference_from_earlier(choice, jobs)
    jobs.append(choice)
    return Choice(choice.settings, {**choice.reasons, "jobs": note}) if note else choice


def difference_from_earlier(choice: Choice, jobs: Sequence[Choice]) -> str | None:
    """A note if an earlier job of the same sweep has a different precision or length, else None."""
    for earlier in jobs:
        both = [key for key in COMPARED if key in choice.settings and key in earlier.settings]
        if any(choice.settings[key] != earlier.settings[key] for key in both):
            one = " ".join(f"{key}={earlier.settings[key]}" for key in both)
            other = " ".join(f"{key}={choice.settings[key]}" for key in both)
            return f"an earlier job has {one}, this job has {other}: to compare jobs, give one value for all of them"
    return None


def _choose(config: Config, trust: Sequence[str] | None, pixels: bool, systems: Systems) -> Choice:
    device, dataset = pick_device(config["device"]), load_dataset(config, trust, pixels)
    minutes = suggested_minutes(config, dataset)
    exact = config["precision"] == "fp32" or (config["precision"] == "tf32" and not dataset.is_deep)
    if exact and config["threads"] is not None and minutes is None:
        return Choice()
    threads = torch.get_num_threads()
    with settings_kept(), torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        try:
            return choose_on(device, config, dataset, systems, minutes)
        finally:
            torch.set_num_threads(threads)


def choose_on(
    device: torch.device, config: Config, dataset: Dataset, systems: Systems, minutes: float | None
) -> Choice:
    """The measured values. Without enough memory to measure: default values and a note.

    `minutes`: how long the run should take, None if it has a length already.
    """
    choice = Choice()
    try:
        parts = torchrun.size() * config["accumulate"]  # the batch is divided by these, and a turn gets one part
        passes = Passes(systems.copy().to(device), dataset, max(1, config["batch_size"] // parts))
        measure_into(choice, config, passes, minutes)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        choose_without_measuring(choice, config)
    return choice


def measure_into(choice: Choice, config: Config, passes: Passes, minutes: float | None) -> None:
    """Adds the measured values to `choice`.

    Threads are chosen before the precision, because the precisions are compared with the threads that the run uses.
    """
    torch.set_num_threads(config["threads"] or 1)
    passes.in_precision("fp32" if config["precision"] == AUTO else config["precision"])
    choose_threads(config["threads"], passes, choice)
    precision = choose_precision(config["precision"], passes, choice)
    if minutes is not None:
        choose_steps(config, passes, precision, minutes, choice)


def choose_without_measuring(choice: Choice, config: Config) -> None:
    """Adds default values to `choice`. The length of the run is then the `kimg` that the data set suggests."""
    reason = "not measured: out of memory"
    if config["precision"] == AUTO and "precision" not in choice.settings:
        choice.add("precision", "fp32", reason)
    if config["threads"] is None and "threads" not in choice.settings:
        choice.add("threads", 1, reason)
    choice.reasons["memory"] = (
        "there was not enough memory to time steps of this run: the run may run out of memory, too"
    )


# -- the three choices ----------------------------------------------------------------------------------------------


def choose_threads(asked: int | None, passes: Passes, choice: Choice) -> None:
    """Doubles the threads as long as that pays. If OMP_NUM_THREADS is set, its value is used without a measurement."""
    if asked is not None:
        return
    best, reason = ALL_THREADS, "torch's default"
    if "OMP_NUM_THREADS" in os.environ:
        reason = "from OMP_NUM_THREADS"
    elif passes.device.type == "cpu":
        best, reason = double_threads(passes)
    torch.set_num_threads(best)
    choice.add("threads", best, reason)


def double_threads(passes: Passes) -> tuple[int, str]:
    """(number of threads, how its time compares with that of the next larger number)."""
    best, reason = 1, "this machine has one core"
    while best < ALL_THREADS:
        more = min(2 * best, ALL_THREADS)
        times = passes.fastest((best, more), torch.set_num_threads)
        gain = times[best] / times[more]
        reason = f"{more} take {1 / gain:.2g} of the time of {best}"
        if gain < THREADS_GAIN:
            break
        best = more
    return best, reason


def choose_precision(asked: str, passes: Passes, choice: Choice) -> str:
    """The precision of the run. `auto` becomes fp32 or bf16. bf16 that the user asked for stays; if it is slower than
    fp32, there is a note.
    """
    if asked == "fp32" or (asked == "tf32" and not passes.dataset.is_deep):
        return asked
    if passes.dataset.is_deep:
        choice.add("precision", "fp32", DEEP)
        return "fp32"
    refusal = bf16_units(passes.device) or (POINTS if passes.dataset.image_size == (1, 1) else None)
    if asked == AUTO and refusal:
        choice.add("precision", "fp32", refusal)
        return "fp32"
    times = passes.fastest(("fp32", "bf16"), passes.in_precision)
    gain = times["fp32"] / times["bf16"]
    if asked == AUTO:
        chosen = "bf16" if gain >= BF16_GAIN else "fp32"
        choice.add("precision", chosen, f"bf16 takes {1 / gain:.2g} of float32's time")
        return chosen
    if gain < 1:
        choice.reasons["precision"] = (
            f"bf16 takes {1 / gain:.2g} times as long as float32 on this machine: precision=auto would choose fp32"
        )
    return asked


def choose_steps(config: Config, passes: Passes, precision: str, minutes: float, choice: Choice) -> None:
    """As many steps as fit into `minutes`, but no more than the `kimg` that the data set suggests."""
    passes.in_precision(precision)
    fits = int(60 * minutes / (WHOLE_STEP * config["accumulate"] * passes.whole_step()))
    most = round(1000 * passes.dataset.kimg / config["batch_size"])
    how = "what fits into" if fits < most else "less than"
    choice.add("steps", max(1, min(fits, most)), f"{how} {minutes:g} minutes on this machine")


def suggested_minutes(config: Config, dataset: Dataset) -> float | None:
    """The minutes that the data set suggests for a run without a length. None if the config has a length."""
    return dataset.minutes if all(config[name] is None for name in LENGTHS) else None
