"""Chooses the precision, the threads and the length that suit this machine, by playing a few steps of the run."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from ganrun.common import torchrun
from ganrun.common.device import ALL_THREADS, pick_device
from ganrun.common.distributed import World
from ganrun.common.precision import bf16_units, settings_kept
from ganrun.common.types import Config
from ganrun.config.builders import load_dataset
from ganrun.config.schema import AUTO, LENGTHS
from ganrun.data.dataset import Dataset
from ganrun.training.planning.passes import Passes, is_out_of_memory
from ganrun.training.planning.systems import Systems

BF16_GAIN = 1.15  # use bf16 only if it is at least so many times as fast: else its rounding is not worth it
POINTS = "bf16 has two to three digits, and a point needs more"
THREADS_GAIN = (
    1.3  # double the threads only if that is so many times as fast: on a busy machine they wait for each other
)
WHOLE_STEP = 1.25  # a real step takes so many times its turns: optimizers, average, hooks, grids and checkpoints
MEASURED = ("precision", "threads", "steps")  # the keys that may be open, in the order in which the plan shows them
COMPARED = ("precision", "steps")  # two runs that differ in these do not compare only what their user changed
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
    """The values chosen for `auto` and null, each with a one-line reason. A reason without a value is a note."""

    settings: dict[str, Any] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)

    def add(self, key: str, value: Any, reason: str) -> None:
        self.settings[key], self.reasons[key] = value, reason

    def lines(self) -> list[str]:
        """For the plan: the values and their reasons, the overrides that repeat the run elsewhere, the notes."""
        settings = {key: self.settings[key] for key in MEASURED if key in self.settings}
        chosen = [f"{key}={value} ({self.reasons[key]})" for key, value in settings.items()]
        repeat = " ".join(f"{key}={value}" for key, value in settings.items())
        notes = [reason for key, reason in self.reasons.items() if key not in settings]
        return [
            *([f"measured    {'; '.join(chosen)}", f"repeat      {repeat}"] if chosen else []),
            *(f"note        {note}" for note in notes),
        ]


KNOWN: dict[str, Choice] = {}  # what this process has chosen, by what the time of a step depends on


def settled(
    config: Config,
    trust: Sequence[str] | None = None,
    world: World | None = None,
    pixels: bool = True,
    systems: Systems | None = None,
) -> tuple[Config, Choice]:
    """The config with a value for every open key, and these values. The same config if no key is open.

    The first rank of `world` measures. All ranks take its values, also after torchrun has restarted them. It plays
    with a copy of the system that `systems` holds.
    """
    world = world or World()

    def ask() -> str:
        return world.same_after_restart("speed", lambda: json.dumps(asdict(choose(config, trust, pixels, systems))))

    choice = Choice(**json.loads(world.from_first_rank(ask, "speed")))
    return {**config, **choice.settings}, choice


def choose(
    config: Config, trust: Sequence[str] | None = None, pixels: bool = True, systems: Systems | None = None
) -> Choice:
    """Values for the keys that a config leaves open, measured on this run's own networks, data and device.

    Runs of one process that play the same steps get the same values: the jobs of a sweep over seeds or learning rates
    must not differ in their precision too. Jobs over models or losses may get unlike values, and a note says so.
    Randomness and torch's switches are afterwards what they were before.
    """
    same = json.dumps({key: config[key] for key in STEP_KEYS}, sort_keys=True)
    if same not in KNOWN:
        choice = _choose(config, trust, pixels, systems or Systems(config, trust))
        if note := unlike_earlier(choice):
            choice.reasons["jobs"] = note
        KNOWN[same] = choice
    return KNOWN[same]


def unlike_earlier(choice: Choice) -> str | None:
    """A note where an earlier run of this process has got another precision or length."""
    for earlier in KNOWN.values():
        both = [key for key in COMPARED if key in choice.settings and key in earlier.settings]
        if any(choice.settings[key] != earlier.settings[key] for key in both):
            one = " ".join(f"{key}={earlier.settings[key]}" for key in both)
            other = " ".join(f"{key}={choice.settings[key]}" for key in both)
            return f"an earlier job has {one} and this one {other}: to compare them, give one value for all jobs"
    return None


def _choose(config: Config, trust: Sequence[str] | None, pixels: bool, systems: Systems) -> Choice:
    device, dataset = pick_device(config["device"]), load_dataset(config, trust, pixels)
    minutes = open_length(config, dataset)
    if config["precision"] not in (AUTO, "bf16", "bf16_all") and config["threads"] is not None and minutes is None:
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
    """What is measured; where the memory does not suffice for that, values that take no measurement, and a note."""
    choice = Choice()
    try:
        parts = torchrun.size() * config["accumulate"]  # what is played at once is a part of the batch
        passes = Passes(systems.copy().to(device), dataset, max(1, config["batch_size"] // parts))
        measure_into(choice, config, passes, minutes)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        choose_without_measuring(choice, config)
    return choice


def measure_into(choice: Choice, config: Config, passes: Passes, minutes: float | None) -> None:
    """The number of threads comes first, because the precisions are compared with the threads that the run uses."""
    torch.set_num_threads(config["threads"] or 1)
    passes.in_precision("fp32" if config["precision"] == AUTO else config["precision"])
    choose_threads(config["threads"], passes, choice)
    precision = choose_precision(config["precision"], passes, choice)
    if minutes is not None:
        choose_steps(config, passes, precision, minutes, choice)


def choose_without_measuring(choice: Choice, config: Config) -> None:
    """For a machine without the memory to measure. Its data set's own `kimg` is then the length of the run."""
    reason = "not measured: out of memory"
    if config["precision"] == AUTO and "precision" not in choice.settings:
        choice.add("precision", "fp32", reason)
    if config["threads"] is None and "threads" not in choice.settings:
        choice.add("threads", 1, reason)
    choice.reasons["memory"] = "there was not enough memory to measure steps of this run: it may run out of memory too"


# -- the three choices ----------------------------------------------------------------------------------------------


def choose_threads(asked: int | None, passes: Passes, choice: Choice) -> None:
    """The smallest number of threads after which doubling them no longer pays. OMP_NUM_THREADS is an answer too."""
    if asked is not None:
        return
    best, reason = ALL_THREADS, "torch's own number"
    if "OMP_NUM_THREADS" in os.environ:
        reason = "by OMP_NUM_THREADS"
    elif passes.device.type == "cpu":
        best, reason = double_threads(passes)
    torch.set_num_threads(best)
    choice.add("threads", best, reason)


def double_threads(passes: Passes) -> tuple[int, str]:
    """(threads, how they compare with the next larger number)."""
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
    """The precision of the run. `auto` is decided here. bf16 that was asked for is kept, and measured for a note."""
    if asked in ("fp32", "tf32"):
        return asked
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
    """As many steps as fit into the minutes that the data set suggests, at most its kimg."""
    passes.in_precision(precision)
    fits = int(60 * minutes / (WHOLE_STEP * config["accumulate"] * passes.whole_step()))
    most = round(1000 * passes.dataset.kimg / config["batch_size"])
    how = "what fits into" if fits < most else "less than"
    choice.add("steps", max(1, min(fits, most)), f"{how} {minutes:g} minutes here")


def open_length(config: Config, dataset: Dataset) -> float | None:
    """The minutes that a data set suggests for a run without a length; None where there is a length."""
    return dataset.minutes if all(config[name] is None for name in LENGTHS) else None
