"""CUDA graphs: whole steps are recorded once and replayed, because the CPU launches a small GAN's kernels too slowly.

A recording holds the kernels of a step: gathering, normalising and mirroring the batch where the data lie on the GPU,
all turns with their random draws and optimizers, and the meter's sums. The weight average is updated after it. Each
graph key of the system has its own recording: a step with R1 and a step without R1 have two. Memory that is filled
before a replay holds what differs between two steps: the batch or its indices, the learning rates, the random seed.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from typing import TYPE_CHECKING, Protocol

import torch
from torch.optim import Optimizer

from ganrun.data.loading.stream import Batch
from ganrun.training.step_check import disagreement

if TYPE_CHECKING:
    from ganrun.training.trainer import Trainer

log = logging.getLogger("ganrun")

WARM_UP = 3  # steps of a key that run before it is recorded: libraries choose algorithms, optimizers make their state

Play = Callable[[], None]


class Recording(Protocol):
    """A recorded step."""

    def replay(self) -> None: ...


class Graphs:
    """Runs a trainer's steps: replays a recording where there is one, else launches kernel by kernel. Same numbers.

    `record` turns a function into a Recording of it; tests pass one that needs no GPU. Where recording fails, the run
    goes on without, and one line says why. The first replay of each recording is checked: the step also runs without
    it, from the same state, and where the results differ the run goes on without recordings.
    """

    def __init__(self, trainer: Trainer, record: Callable[[Play], Recording] | None = None) -> None:
        self.trainer = trainer
        self.recordings: dict[Hashable, tuple[Recording, Counter[str]]] = {}
        self.seen: Counter[Hashable] = Counter()
        self.inputs: Batch = {}  # the recordings read a step's batch, or its indices, from here
        self.gathers = (
            trainer.stream.on_device and trainer.stream.data.has_no_transform
        )  # the recording takes the batch itself
        self.side = torch.cuda.Stream(trainer.device) if trainer.device.type == "cuda" else None
        self.record = record or CudaRecorder(self.side)
        self.proved: set[Hashable] = set()
        self.refused = refusal(trainer)
        if self.refused is None and trainer.system.graph_key(trainer.step) is None:
            self.refused = f"{type(trainer.system).__name__} does not say which of its steps are alike"
        if self.refused:
            self.say(self.refused)
        elif trainer.device.type == "cuda":
            for optimizer in trainer.optimizers.values():
                make_capturable(optimizer, trainer.device)

    def play(self, batches: Iterator[Batch]) -> None:
        """One step of the trainer, on its next batch."""
        trainer = self.trainer
        key = None if self.refused else trainer.system.graph_key(trainer.step)
        if key is None:
            trainer.play_turns(trainer.prepare_batch(self.raw(batches)))
            return
        key = (key, trainer.norms_due())
        self.fill(batches)
        if key not in self.recordings and self.seen[key] >= WARM_UP:
            self.try_to_record(key)
        if key in self.recordings:
            self.replay(key)
        else:
            self.seen[key] += 1
            with beside(self.side), waiting_noticed(self.seen[key] == WARM_UP and self.side is not None) as waits:
                trainer.play_turns(self.batch())
            if waits:  # do not try: a recording that fails leaves torch's random generator in an undefined state
                self.refuse(str(waits[0].message))

    def replay(self, key: Hashable) -> None:
        """The first replay of a key is compared with the unrecorded step; where they differ, recordings are dropped."""
        recording, counts = self.recordings[key]

        def quick() -> None:
            recording.replay()
            self.trainer.meter.counts.update(counts)

        if key in self.proved:
            return quick()
        self.proved.add(key)
        difference = disagreement(self.trainer, quick, self.play_unrecorded)
        if difference is not None:
            self.recordings.clear()
            self.refuse(f"the recorded step gives another result than the usual one: {difference}")

    def play_unrecorded(self) -> None:
        """The step kernel by kernel, on the stream that recordings are made on."""
        with beside(self.side):
            self.trainer.play_turns(self.batch())

    def raw(self, batches: Iterator[Batch]) -> Batch:
        """The step's own batch. Recordings that gather it themselves do not use the iterator."""
        stream = self.trainer.stream
        return stream[self.trainer.step] if self.gathers else next(batches)

    def fill(self, batches: Iterator[Batch]) -> None:
        """Copy this step's batch, or its indices, to where the recordings read it."""
        trainer = self.trainer
        if self.gathers:
            new = {"indices": trainer.stream.indices(trainer.step)}
        else:  # damage may draw random numbers on the CPU: such batches are finished before the replay
            raw = next(batches)
            new = raw if trainer.stream.data.has_no_transform else trainer.prepare_batch(raw)
        for name, tensor in new.items():
            if name in self.inputs:
                self.inputs[name].copy_(tensor, non_blocking=True)
            else:
                self.inputs[name] = tensor.to(trainer.device, copy=True)

    def batch(self) -> Batch:
        """The batch that the turns get; the kernels that make it are recorded too."""
        trainer = self.trainer
        if not trainer.stream.data.has_no_transform:
            return dict(self.inputs)
        return trainer.prepare_batch(trainer.stream.data.take(self.inputs["indices"]) if self.gathers else self.inputs)

    def try_to_record(self, key: Hashable) -> None:
        meter = self.trainer.meter
        before = Counter(meter.counts)
        try:
            recording = self.record(lambda: self.trainer.play_turns(self.batch()))
            self.recordings[key] = recording, Counter(meter.counts) - before
        except Exception as error:  # something in the step waits for the device, or branches on a tensor
            while error.__context__ is not None:  # ending the recording fails too, and hides the first error
                error = error.__context__  # type: ignore[assignment]
            self.refuse(str(error))
        finally:
            meter.counts = before  # nothing was computed while it was recorded

    def refuse(self, reason: str) -> None:
        self.refused = reason.splitlines()[0] if reason else "recording failed"
        self.say(self.refused)

    @staticmethod
    def say(reason: str) -> None:
        log.info(f"graphs     not used: {reason}")


class CudaRecorder:
    """Records on CUDA. All graphs share one memory pool, because they never run at the same time."""

    def __init__(self, stream: torch.cuda.Stream | None) -> None:
        self.stream, self.pool = stream, torch.cuda.graph_pool_handle()

    def __call__(self, play: Play) -> Recording:
        """A recording of `play`, which computes nothing now. Raises RuntimeError where `play` waits for the device."""
        graph = torch.cuda.CUDAGraph()
        # thread_local: threads that write checkpoints and fetch batches may use CUDA meanwhile
        with torch.cuda.graph(graph, pool=self.pool, stream=self.stream, capture_error_mode="thread_local"):
            play()
        return graph


def refusal(trainer: Trainer) -> str | None:
    """Why this run's steps cannot be recorded, or None."""
    if trainer.world.size > 1:
        return "gradients are exchanged between ranks"
    if trainer.guard.limit:
        return "non_finite.policy=skip looks at each turn's gradients"
    for player, optimizer in trainer.optimizers.items():
        name = type(optimizer).__name__
        if trainer.rates.schedules[player].moves_beta2:  # a number that the recorded kernels would keep
            return f"the schedule of {player} moves beta2"
        if "capturable" in optimizer.defaults:
            continue
        if type(optimizer) is not torch.optim.SGD:  # SGD has no step count
            return f"{name} of {player} counts its steps on the CPU"
        moves = trainer.rates.schedules[player].needs_an_end or player in trainer.system.rate_factors(trainer.step)
        if moves or trainer.rates.setbacks:
            return f"{name} of {player} keeps its learning rate on the CPU, and this one changes"
    return None


def make_capturable(optimizer: Optimizer, device: torch.device) -> None:
    """Learning rate and step count on the device, where a replay can read them."""
    for group in optimizer.param_groups:
        if "capturable" in group:
            group["capturable"] = True
            group["lr"] = torch.as_tensor(group["lr"], dtype=torch.float32, device=device)
    for state in optimizer.state.values():
        if isinstance(state.get("step"), torch.Tensor):
            state["step"] = state["step"].to(device)


@contextlib.contextmanager
def waiting_noticed(look: bool) -> Iterator[list[warnings.WarningMessage]]:
    """Within this block, if `look`, collect warnings of calls that wait for the device: they cannot be recorded."""
    if not look:
        yield []
        return
    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        found: list[warnings.WarningMessage] = []
        try:
            yield found
        finally:
            torch.cuda.set_sync_debug_mode(before)
            found += [warning for warning in caught if "synchroniz" in str(warning.message)]


@contextlib.contextmanager
def beside(side: torch.cuda.Stream | None) -> Iterator[None]:
    """Run on the stream `side`: CUDA wants warm-up steps on another stream than the default one. None: do nothing."""
    if side is None:
        yield
        return
    side.wait_stream(torch.cuda.current_stream(side.device))
    with torch.cuda.stream(side):
        yield
    torch.cuda.current_stream(side.device).wait_stream(side)
