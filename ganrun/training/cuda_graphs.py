"""graphs: whole steps recorded as CUDA graphs and replayed, so that a small GAN no longer waits for its launches.

A recording holds the kernels of a step: gathering, normalising and mirroring the batch where the data lie on the
device, all turns with their random draws and optimizers, and the meter's sums; the weight average follows it. There is
one for each kind of step that the system knows (a step with R1 and one without are two kinds). What differs between two
steps of a kind is kept in memory that is filled before a replay: the batch or its indices, the learning rates, the
random generator's seed.
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

WARM_UP = 3  # steps of a kind played as they are: libraries choose their algorithms, optimizers make their state

Play = Callable[[], None]


class Recording(Protocol):
    """What can be played again."""

    def replay(self) -> None: ...


class Graphs:
    """Plays a trainer's steps: by replay where there is a recording, else one kernel at a time, with the same numbers.

    `record` turns a function into a Recording of it; tests hand in one that needs no GPU. Where recording fails the
    run goes on without, and one line says why. Each recording proves itself: its first replay is also played the plain
    way, from the same state, and where the two differ the run goes on without recordings.
    """

    def __init__(self, trainer: Trainer, record: Callable[[Play], Recording] | None = None) -> None:
        self.trainer = trainer
        self.recordings: dict[Hashable, tuple[Recording, Counter[str]]] = {}
        self.seen: Counter[Hashable] = Counter()
        self.inputs: Batch = {}  # where the recordings read a step's batch, or its indices
        self.gathers = trainer.stream.on_device and trainer.stream.data.has_no_transform
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
        kind = None if self.refused else trainer.system.graph_key(trainer.step)
        if kind is None:
            trainer.play_turns(trainer.prepare_batch(self.raw(batches)))
            return
        kind = (kind, trainer.norms_due())
        self.fill(batches)
        if kind not in self.recordings and self.seen[kind] >= WARM_UP:
            self.try_to_record(kind)
        if kind in self.recordings:
            self.replay(kind)
        else:
            self.seen[kind] += 1
            with beside(self.side), waiting_noticed(self.seen[kind] == WARM_UP and self.side is not None) as waits:
                trainer.play_turns(self.batch())
            if waits:  # a recording that failed would leave torch's generator and memory in between two states
                self.refuse(str(waits[0].message))

    def replay(self, kind: Hashable) -> None:
        """The first replay of a kind is compared with the plain step; where they differ, nothing more is replayed."""
        recording, counts = self.recordings[kind]

        def quick() -> None:
            recording.replay()
            self.trainer.meter.counts.update(counts)

        if kind in self.proved:
            return quick()
        self.proved.add(kind)
        difference = disagreement(self.trainer, quick, self.plainly)
        if difference is not None:
            self.recordings.clear()
            self.refuse(f"the recorded step gives another result than the plain one: {difference}")

    def plainly(self) -> None:
        """The step one kernel at a time, where a recording of it is made."""
        with beside(self.side):
            self.trainer.play_turns(self.batch())

    def raw(self, batches: Iterator[Batch]) -> Batch:
        """The step's own batch; the iterator is only moved where nobody gathers."""
        stream = self.trainer.stream
        return stream[self.trainer.step] if self.gathers else next(batches)

    def fill(self, batches: Iterator[Batch]) -> None:
        """Copy what is this step's own to where the recordings read it."""
        trainer = self.trainer
        if self.gathers:
            new = {"indices": trainer.stream.indices(trainer.step)}
        else:  # damage may draw on the CPU: data that are changed on their way are finished before the replay
            raw = next(batches)
            new = raw if trainer.stream.data.has_no_transform else trainer.prepare_batch(raw)
        for name, tensor in new.items():
            if name in self.inputs:
                self.inputs[name].copy_(tensor, non_blocking=True)
            else:
                self.inputs[name] = tensor.to(trainer.device, copy=True)

    def batch(self) -> Batch:
        """The inputs as the turns see them; making it is recorded too."""
        trainer = self.trainer
        if not trainer.stream.data.has_no_transform:
            return dict(self.inputs)
        return trainer.prepare_batch(trainer.stream.data.take(self.inputs["indices"]) if self.gathers else self.inputs)

    def try_to_record(self, kind: Hashable) -> None:
        meter = self.trainer.meter
        before = Counter(meter.counts)
        try:
            recording = self.record(lambda: self.trainer.play_turns(self.batch()))
            self.recordings[kind] = recording, Counter(meter.counts) - before
        except Exception as error:  # something in the step waits for the device, or chooses by its numbers
            while error.__context__ is not None:  # the end of a recording fails too, and hides what it failed of
                error = error.__context__  # type: ignore[assignment]
            self.refuse(str(error))
        finally:
            meter.counts = before  # recording does nothing, it only looks

    def refuse(self, reason: str) -> None:
        self.refused = reason.splitlines()[0] if reason else "recording failed"
        self.say(self.refused)

    @staticmethod
    def say(reason: str) -> None:
        log.info(f"graphs     not used: {reason}")


class CudaRecorder:
    """Records on CUDA, all graphs in one memory pool: they are never replayed at the same time."""

    def __init__(self, stream: torch.cuda.Stream | None) -> None:
        self.stream, self.pool = stream, torch.cuda.graph_pool_handle()

    def __call__(self, play: Play) -> Recording:
        """Everything that `play` would do, without doing it. Raises RuntimeError where it waits for the device."""
        graph = torch.cuda.CUDAGraph()
        # thread_local: the threads that write checkpoints and fetch batches go on with their own calls
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
        if "capturable" in optimizer.defaults:
            continue
        if type(optimizer) is not torch.optim.SGD:  # it alone keeps no count of its steps
            return f"{name} of {player} counts its steps on the CPU"
        if trainer.rates.schedules[player].needs_an_end or trainer.rates.setbacks:
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
    """Within this block, if asked to look, a list is filled with what waits for the device: what cannot be recorded."""
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
    """On another stream than the usual one, as what is recorded later must have been; where there are streams."""
    if side is None:
        yield
        return
    side.wait_stream(torch.cuda.current_stream(side.device))
    with torch.cuda.stream(side):
        yield
    torch.cuda.current_stream(side.device).wait_stream(side)
