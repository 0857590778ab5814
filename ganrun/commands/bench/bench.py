"""bench: how fast a run would be, where its time goes, and its ratio to the naive loop, measured in one process."""

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
FOREVER = 10**12  # steps
TRACED = 0.5  # seconds under the profiler, to see how busy a GPU is
FOR_TRAINING = ("resume", "init_from")  # what makes no difference to speed


class Slice(NamedTuple):
    """Steps that were played without a stop, and what they took in seconds."""

    steps: int
    wall: float
    cpu: float  # of all threads, and of a loader's processes


Loop = Callable[[float], Slice]  # plays for so many seconds
Recorder = Callable[[Trainer], StepRunner]


def check(config: Config) -> Path | None:
    """Refuse what cannot be trained, as `train` does, before anything is measured. Returns where the JSON goes."""
    for key in FOR_TRAINING:
        if config[key] is not None:
            raise UserError(f"{key}={config[key]}: bench starts from fresh weights, which are as fast: leave it away")
    plan(config)
    if config["out"] is None:
        return None
    out = Path(str(config["out"])).expanduser()
    check_file_place(out, config["overwrite"], ".json")
    return out


def bench(config: Config) -> str:
    """Measure what the page `bench` asks for. Returns the table; writes it to `out` as JSON."""
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
    """What somebody else needs to know to read the figures."""
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
    """All figures of one run, trained for real in a folder that is about to be removed."""
    wishes, device = config["bench"], pick_device(config["device"])
    hooks = {name: node for name, node in config["hooks"].items() if name not in ("console", "profile")}
    trainer = runs.assemble({**config, "hooks": hooks}, folder)
    trainer.step, trainer.length = wishes["step"], Length(steps=FOREVER)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    without_frame = once(trainer.recorder)
    trainer.recorder = once(trainer.recorder)
    ours = functools.partial(played, trainer)
    ours(wishes["warmup"])
    memory = torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else most_memory()
    loops: dict[str, Loop] = {"ganrun": ours, "bare": functools.partial(bare, trainer, without_frame)}
    with contextlib.ExitStack() as stack:
        if wishes["naive"]:
            naive = NaiveLoop(config, load_dataset(config), device)
            stack.callback(naive.close)
            naive.step = wishes["step"]
            loops["naive"] = functools.partial(repeated, naive)
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
    """A slice of each loop in each round; who begins changes."""
    names = list(loops)
    for number in range(rounds):
        order = names[number % len(names) :] + names[: number % len(names)]
        yield {name: loops[name](seconds) for name in order}


def figures(rounds: list[dict[str, Slice]], batch_size: int) -> Config:
    """Medians and spreads over rounds; what compares two loops is paired within each round."""

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
    for suffix, what in (("", "wall"), ("_cpu", "cpu")):  # on a busy machine the second is the honest one
        ours, without = per_step("ganrun", what), per_step("bare", what)
        found[f"frame{suffix}"] = spread(1 - b / a for a, b in zip(ours, without, strict=True))
        if "naive" in loops:
            found[f"ratio{suffix}"] = spread(b / a for a, b in zip(ours, per_step("naive", what), strict=True))
    return {**found, "rounds": [{name: each._asdict() for name, each in one.items()} for one in rounds]}


def spread(values: Iterable[float]) -> dict[str, float]:
    values = list(values)
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


# -- the loops ----------------------------------------------------------------------------------------------------


class Stopwatch(Hook):
    """Ends `fit` after so many seconds; what counts lies between two steps, before other hooks say goodbye."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.steps, self.slice = seconds, -1, Slice(0, 0.0, 0.0)

    def on_step(self, trainer: Trainer, record: StepRecord) -> None:
        self.steps += 1
        if self.steps == 0:  # whatever has to start has started
            wait(trainer.device)
            self.wall, self.cpu = time.perf_counter(), time.process_time()
        elif self.steps >= LEAST and time.perf_counter() - self.wall >= self.seconds:
            wait(trainer.device)
            self.slice = Slice(self.steps, time.perf_counter() - self.wall, time.process_time() - self.cpu)
            trainer.control.stop("measured", 0)


def played(trainer: Trainer, seconds: float) -> Slice:
    """The trainer's own steps with its hooks."""
    watch = Stopwatch(seconds)
    trainer.control.stopped = None
    with instead(trainer, hooks=[*trainer.hooks, watch]):
        trainer.fit()
    return watch.slice


def bare(trainer: Trainer, without_frame: Recorder | None, seconds: float) -> Slice:
    """The same steps without their frame: no hooks, nothing recorded, no average, no new seeds."""
    with (
        instead(trainer, hooks=[], measure=nothing, recorder=without_frame),
        instead(trainer.average, update=nothing),
        instead(trainers, reseed=nothing),
    ):
        return played(trainer, seconds)


def once(recorder: Recorder | None) -> Recorder | None:
    """What it records in one slice is still there in the next."""
    made: list[StepRunner] = []

    def remembered(trainer: Trainer) -> StepRunner:
        assert recorder is not None
        if not made:
            made.append(recorder(trainer))
        return made[0]

    return remembered if recorder else None


def nothing(*_: Any) -> None: ...


@contextlib.contextmanager
def instead(owner: Any, **others: Any) -> Iterator[None]:
    """Within this block an object or module has these attributes instead of its own."""
    own = {name: vars(owner)[name] for name in others if name in vars(owner)}
    vars(owner).update(others)
    try:
        yield
    finally:
        for name in others:
            del vars(owner)[name]
        vars(owner).update(own)


def repeated(naive: NaiveLoop, seconds: float) -> Slice:
    """The naive loop's steps; their CPU time includes that of its workers."""
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
    """Milliseconds a step of "data" and of each player's turns, the device waited for around each; and the "step"."""
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
        instead(trainer, recorder=None),  # a recording has no parts
        instead(trainer, prepare_batch=lambda batch: timed("data", prepare, batch)),
        instead(trainer, play=lambda turn, parts: timed(turn.player, play, turn, parts)),
    ):
        one = played(trainer, seconds)
    milliseconds = {name: 1000 * seconds / (trainer.step - steps) for name, seconds in spent.items()}
    return {"step": 1000 * one.wall / one.steps, **milliseconds}


def busy_share(trainer: Trainer) -> float | None:
    """The share of the time in which a GPU has work; None without one."""
    if trainer.device.type != "cuda":
        return None
    from torch.autograd import DeviceType
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        played(trainer, TRACED)
    kernels = [event.time_range for event in profiler.events() or () if event.device_type == DeviceType.CUDA]
    return covered([(kernel.start, kernel.end) for kernel in kernels])


def covered(intervals: list[tuple[float, float]]) -> float:
    """The share of the time from the first start to the last end in which at least one interval is open."""
    if not intervals:
        return math.nan
    intervals = sorted(intervals)
    total, reached = 0.0, intervals[0][0]
    for start, end in intervals:
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total / (reached - intervals[0][0])
