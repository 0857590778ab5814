"""`ganrun bench`: measures how fast a run is, where its time goes, and its ratio to the naive loop."""

from __future__ import annotations

import contextlib
import functools
import json
import math
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch

from ganrun import __version__
from ganrun.commands.bench.baseline import WORKERS, NaiveLoop
from ganrun.commands.bench.report import table
from ganrun.common import versions
from ganrun.common.atomic import write_text
from ganrun.common.device import pick_device
from ganrun.common.errors import UserError
from ganrun.common.output_places import check_file_place
from ganrun.common.precision import torch_defaults
from ganrun.common.types import Config
from ganrun.config.builders import load_dataset
from ganrun.training import runs
from ganrun.training import trainer as trainers
from ganrun.training.hooks.hook import Hook
from ganrun.training.hooks.tensorboard import most_memory
from ganrun.training.length import Length
from ganrun.training.planning.measure import settled
from ganrun.training.planning.plan import Plan, plan
from ganrun.training.record import StepRecord
from ganrun.training.trainer import StepRunner, Trainer

T = TypeVar("T")

LEAST = 3  # steps of a slice, however long they take
FOREVER = 10**12  # steps: a length that is never reached
TRACED = 0.5  # seconds under the profiler, to measure how busy a GPU is
FOR_TRAINING = ("resume", "init_from")  # keys that choose weights, which makes no difference to the speed


class Slice(NamedTuple):
    """Steps that ran one after the other, and how long they took."""

    steps: int
    wall: float  # seconds by the clock
    cpu: float  # CPU seconds of all threads, and of a loader's processes


Loop = Callable[[float], Slice]  # runs steps for so many seconds
Recorder = Callable[[Trainer], StepRunner]


def check(config: Config) -> Path | None:
    """Check the config as `train` does, before any measurement. Returns the path of the JSON, None without `out`.

    Raises UserError.
    """
    for key in FOR_TRAINING:
        if config[key] is not None:
            raise UserError(
                f"{key}={config[key]}: bench starts from new weights, which have the same speed: leave this key out"
            )
    plan(config)
    if config["out"] is None:
        return None
    out = Path(str(config["out"])).expanduser()
    check_file_place(out, config["overwrite"], ".json")
    return out


def bench(config: Config) -> str:
    """Measure a run. Returns the table. With `out`, also writes the numbers as JSON."""
    config, choice = settled(config)
    planned = plan(config, choice=choice)
    if config["dry_run"]:
        return "\n".join(planned.lines())
    with tempfile.TemporaryDirectory(prefix="ganrun-bench-") as folder:
        measured = {**about(config, planned), **measure(config, Path(folder))}
    if config["out"] is not None:
        write_text(Path(str(config["out"])).expanduser(), json.dumps(measured, indent=1) + "\n")
    return table(measured)


def about(config: Config, planned: Plan) -> Config:
    """Facts about the machine and the run, without which the figures mean nothing to others."""
    return {
        "format": 1,
        "versions": {"ganrun": __version__, **{name: versions.version(name) for name in versions.PACKAGES}},
        "device": next(
            (line for line in versions.devices() if line.startswith(str(planned.device))), str(planned.device)
        ),
        "threads": torch.get_num_threads(),
        "workers": WORKERS,
        "precision": config["precision"],
        "measured": planned.choice.reasons,
        "batch_size": config["batch_size"],
        "images": [planned.dataset.channels, *planned.dataset.image_size],
        "parameters": planned.parameters,
        "config": config,
    }


def measure(config: Config, folder: Path) -> Config:
    """All figures of one run. It trains in `folder`, which the caller removes."""
    wishes, device = config["bench"], pick_device(config["device"])
    hooks = {name: node for name, node in config["hooks"].items() if name not in ("console", "profile")}
    trainer = runs.assemble({**config, "hooks": hooks}, folder)
    trainer.step, trainer.length = wishes["step"], Length(steps=FOREVER)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    bare_recorder = recorded_once(trainer.recorder)
    trainer.recorder = recorded_once(trainer.recorder)
    run_steps = functools.partial(run_trainer, trainer)
    run_steps(wishes["warmup"])
    memory = torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else most_memory()
    loops: dict[str, Loop] = {"ganrun": run_steps, "bare": functools.partial(run_bare, trainer, bare_recorder)}
    with contextlib.ExitStack() as stack:
        if wishes["naive"]:
            naive = NaiveLoop(config, load_dataset(config), device)
            stack.callback(naive.close)
            naive.step = wishes["step"]
            loops["naive"] = functools.partial(run_naive, naive)
        for name in loops.keys() - {"ganrun"}:
            loops[name](wishes["warmup"])
        rounds = list(taking_turns(loops, wishes["rounds"], wishes["seconds"] / wishes["rounds"]))
    return {
        **figures(rounds, config["batch_size"]),
        "apart": apart(trainer, wishes["seconds"] / wishes["rounds"]),
        "device_busy": busy_share(trainer),
        "peak_memory_MiB": memory,
    }


def taking_turns(loops: dict[str, Loop], rounds: int, seconds: float) -> Iterator[dict[str, Slice]]:
    """One slice of each loop in each round. In each round another loop begins."""
    names = list(loops)
    for number in range(rounds):
        order = names[number % len(names) :] + names[: number % len(names)]
        yield {name: loops[name](seconds) for name in order}


def figures(rounds: list[dict[str, Slice]], batch_size: int) -> Config:
    """Medians, minima and maxima over the rounds. A ratio of two loops is computed within each round."""

    def per_step(name: str, what: str) -> list[float]:
        return [getattr(each[name], what) / each[name].steps for each in rounds]

    loops = {}
    for name in rounds[0].keys() - {"bare"}:
        wall = per_step(name, "wall")
        loops[name] = {
            "images_per_second": spread(batch_size / seconds for seconds in wall),
            "ms_per_step": spread(1000 * seconds for seconds in wall),
            "cpu_ms_per_step": spread(1000 * seconds for seconds in per_step(name, "cpu")),
        }
    found: Config = {"loops": loops}
    for suffix, what in (("", "wall"), ("_cpu", "cpu")):  # on a busy machine, only the CPU time is reliable
        own, bare = per_step("ganrun", what), per_step("bare", what)
        found[f"frame{suffix}"] = spread(1 - b / a for a, b in zip(own, bare, strict=True))
        if "naive" in loops:
            found[f"ratio{suffix}"] = spread(b / a for a, b in zip(own, per_step("naive", what), strict=True))
    return {**found, "rounds": [{name: each._asdict() for name, each in one.items()} for one in rounds]}


def spread(values: Iterable[float]) -> dict[str, float]:
    values = list(values)
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


# -- the loops ----------------------------------------------------------------------------------------------------


class Stopwatch(Hook):
    """Ends `Trainer.fit` after so many seconds. It measures between two steps, before other hooks end."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.steps, self.slice = seconds, -1, Slice(0, 0.0, 0.0)

    def on_step(self, trainer: Trainer, record: StepRecord) -> None:
        self.steps += 1
        if self.steps == 0:  # the first step, which starts workers and compiles kernels, is over
            wait(trainer.device)
            self.wall, self.cpu = time.perf_counter(), time.process_time()
        elif self.steps >= LEAST and time.perf_counter() - self.wall >= self.seconds:
            wait(trainer.device)
            self.slice = Slice(self.steps, time.perf_counter() - self.wall, time.process_time() - self.cpu)
            trainer.control.stop("measured", 0)


def run_trainer(trainer: Trainer, seconds: float) -> Slice:
    """Run the trainer's steps with its hooks."""
    watch = Stopwatch(seconds)
    trainer.control.stopped = None
    with instead(trainer, hooks=[*trainer.hooks, watch]):
        trainer.fit()
    return watch.slice


def run_bare(trainer: Trainer, recorder: Recorder | None, seconds: float) -> Slice:
    """Run the same steps without hooks, without the meter, without the average, and without new seeds."""
    with (
        instead(trainer, hooks=[], measure=nothing, recorder=recorder),
        instead(trainer.average, update=nothing),
        instead(trainers, reseed=nothing),
    ):
        return run_trainer(trainer, seconds)


def recorded_once(recorder: Recorder | None) -> Recorder | None:
    """A recorder that makes its object once, so that later slices use what the first slice has recorded."""
    made: list[StepRunner] = []

    def first_made(trainer: Trainer) -> StepRunner:
        assert recorder is not None
        if not made:
            made.append(recorder(trainer))
        return made[0]

    return first_made if recorder else None


def nothing(*_: Any) -> None: ...


@contextlib.contextmanager
def instead(owner: Any, **others: Any) -> Iterator[None]:
    """Within this block, an object or module has these attributes instead of its own."""
    own = {name: vars(owner)[name] for name in others if name in vars(owner)}
    vars(owner).update(others)
    try:
        yield
    finally:
        for name in others:
            del vars(owner)[name]
        vars(owner).update(own)


def run_naive(naive: NaiveLoop, seconds: float) -> Slice:
    """Run steps of the naive loop. Their CPU time includes that of its workers."""
    with torch_defaults():
        naive.play()
        wait(naive.device)
        wall, cpu, steps = time.perf_counter(), time.process_time() + naive.workers_cpu(), 0
        while steps < LEAST or time.perf_counter() - wall < seconds:
            naive.play()
            steps += 1
        wait(naive.device)
        return Slice(steps, time.perf_counter() - wall, time.process_time() + naive.workers_cpu() - cpu)


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


# -- what a step is made of ---------------------------------------------------------------------------------------


def apart(trainer: Trainer, seconds: float) -> dict[str, float]:
    """Milliseconds per step of "data", of each player's turns, and of the whole "step".

    The device is waited for before and after each part. So the parts may add up to more than a step takes otherwise.
    """
    spent: dict[str, float] = defaultdict(float)
    steps = trainer.step

    def timed(name: str, call: Callable[..., T], *arguments: Any) -> T:
        wait(trainer.device)
        start = time.perf_counter()
        result = call(*arguments)
        wait(trainer.device)
        spent[name] += time.perf_counter() - start
        return result

    def fetched(batches: Iterator[T]) -> Iterator[T]:
        while True:
            yield timed("data", next, batches)

    prepare, play, starting_at = trainer.prepare_batch, trainer.play, trainer.stream.starting_at
    with (
        instead(trainer.stream, starting_at=lambda step: fetched(starting_at(step))),
        instead(trainer, recorder=None),  # a recorded step cannot be split into its parts
        instead(trainer, prepare_batch=lambda batch: timed("data", prepare, batch)),
        instead(trainer, play=lambda turn, parts: timed(turn.player, play, turn, parts)),
    ):
        one = run_trainer(trainer, seconds)
    milliseconds = {name: 1000 * seconds / (trainer.step - steps) for name, seconds in spent.items()}
    return {"step": 1000 * one.wall / one.steps, **milliseconds}


def busy_share(trainer: Trainer) -> float | None:
    """The share of the time in which the GPU is busy. None without a GPU."""
    if trainer.device.type != "cuda":
        return None
    from torch.autograd import DeviceType
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        run_trainer(trainer, TRACED)
    kernels = [event.time_range for event in profiler.events() or () if event.device_type == DeviceType.CUDA]
    return covered([(kernel.start, kernel.end) for kernel in kernels])


def covered(intervals: list[tuple[float, float]]) -> float:
    """The share of the time, from the first start to the last end, that the (start, end) intervals cover."""
    if not intervals:
        return math.nan
    intervals = sorted(intervals)
    total, reached = 0.0, intervals[0][0]
    for start, end in intervals:
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total / (reached - intervals[0][0])
