"""Trainer: plays a system's turns. It does not know what a GAN is."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ganrun.common.distributed import World, running_means
from ganrun.common.errors import MovedAttribute
from ganrun.common.schedules import Schedule
from ganrun.common.seeding import reseed
from ganrun.data.loading.stream import Batch, Stream, cut, prepare
from ganrun.losses.objective import Objective
from ganrun.systems.growth import growths_in
from ganrun.systems.system import System, Turn
from ganrun.training.clipping import clip_
from ganrun.training.control import RunControl
from ganrun.training.ema import Average
from ganrun.training.hooks.hook import MOVED, in_order, on_step_of
from ganrun.training.learning_rates import LearningRates
from ganrun.training.length import Length
from ganrun.training.meter import Meter
from ganrun.training.nonfinite import SkipGuard
from ganrun.training.record import StepRecord
from ganrun.training.tensors import gradients_of, state_of, weights_of

if TYPE_CHECKING:
    from ganrun.training.hooks.hook import Hook

log = logging.getLogger("ganrun")


class StepRunner(Protocol):
    """Runs one step instead of `Trainer.play_step`: CUDA graphs and compiled networks do."""

    def play(self, batches: Iterator[Batch]) -> None: ...


@dataclass
class Settings:
    """How a step is computed.

    `accumulate`: parts of a batch whose gradients are added up. `clips`: the largest norm of a player's gradient.
    `burn_in`: the share of the run after which its schedules stand still.
    """

    seed: int = 0
    bf16: bool = False
    flip: bool = False  # mirror half of the images
    log_every: int = 50
    accumulate: int = 1
    clips: Mapping[str, float] = field(default_factory=dict)
    burn_in: float = 1.0
    turns: bool = False  # turn the images by random quarter turns


class Trainer:
    """Runs steps: a batch, the turns of the system, the weight average; then tells the hooks.

    `optimizers` and `schedules` have one entry for each player of the system.
    `recorder(trainer)` returns the object that runs each step instead of `play_step`.
    Each rank of `world` trains on its share of the batch; gradients are averaged over the ranks once a turn.
    `skip_limit`: a turn whose gradients are not finite is skipped, at most so many times in a row (see `SkipGuard`).
    """

    def __init__(
        self,
        system: System,
        stream: Stream,
        optimizers: Mapping[str, Optimizer],
        schedules: Mapping[str, Schedule],
        average: Average,
        length: Length,
        hooks: Sequence[Hook] = (),
        *,
        seed: int = 0,
        device: torch.device | None = None,
        bf16: bool = False,
        flip: bool = False,
        log_every: int = 50,
        skip_limit: int = 0,
        recorder: Callable[[Trainer], StepRunner] | None = None,
        world: World | None = None,
        accumulate: int = 1,
        clips: Mapping[str, float] | None = None,
        burn_in: float = 1.0,
        turns: bool = False,
    ) -> None:
        self.system, self.stream, self.average, self.length = system, stream, average, length
        self.optimizers, self.rates = dict(optimizers), LearningRates(optimizers, schedules)
        self.settings = Settings(seed, bf16, flip, log_every, accumulate, dict(clips or {}), burn_in, turns)
        self.device, self.world = device or torch.device("cpu"), world or World()
        self.hooks, self.recorder = in_order(hooks), recorder
        self.control = RunControl(self.world)
        self.meter, self.guard = Meter(bf16), SkipGuard(skip_limit, bf16)
        self.step = 0  # steps trained so far

    # -- the loop -----------------------------------------------------------------------------------------------

    def fit(self) -> None:
        try:
            self.play_on()
        except BaseException:
            for hook in reversed(self.hooks):
                try:
                    hook.on_failure(self)
                except Exception:  # the first error is the one to report
                    log.debug("%s failed while it was closed", type(hook).__name__, exc_info=True)
            raise

    def play_on(self) -> None:
        self.system.train()
        self.world.share([*self.system.state_dict().values(), *self.average.state_dict().values()], self.step)
        told = [on_step_of(hook) for hook in self.hooks]
        for hook in self.hooks:
            hook.on_start(self)
        shared = running_means(self.system)
        batches = self.stream.starting_at(self.step)
        play_step = self.recorder(self).play if self.recorder else self.play_step
        self.control.start_clock()
        while not self.done:
            reseed(self.settings.seed, self.step, self.stream.rank)
            self.follow_schedules()
            play_step(batches)
            self.average_over_ranks(shared)
            self.average.update(self.step, self.schedule_progress)
            self.step += 1
            record = self.record_step(self.control.act(timed=self.length.minutes is not None))
            for on_step in told:
                on_step(self, record)
        for hook in reversed(self.hooks):  # checkpoints come last in a step, and first here
            hook.on_end(self)

    def follow_schedules(self) -> None:
        """Before each step: all that follows the run's progress gets its numbers."""
        self.system.at_progress(self.schedule_progress)
        self.rates.set(self.schedule_progress, self.system.rate_factors(self.step))

    def play_step(self, batches: Iterator[Batch]) -> None:
        self.play_turns(self.prepare_batch(next(batches)))

    def prepare_batch(self, batch: Batch) -> Batch:
        """uint8 -> float in [-1, 1], on the device, mirrored, turned and damaged as the data ask for."""
        settings = self.settings
        return self.stream.data.transform(prepare(batch, self.device, settings.flip, settings.turns))

    def play_turns(self, batch: Batch) -> None:
        parts = cut(batch, self.settings.accumulate)
        for turn in self.system.turns(self.step):
            self.play(turn, parts)

    def play(self, turn: Turn, parts: Sequence[Batch]) -> None:
        """One turn: gradients of the player's weights, then its optimizer's step. Only here do optimizers step."""
        optimizer, objectives = self.optimizers[turn.player], []
        optimizer.zero_grad(set_to_none=True)
        for part in parts:
            with self.autocast():
                objective = turn.objective(part)
            total = objective.total if len(parts) == 1 else objective.total / len(parts)
            total.backward(inputs=weights_of(optimizer))  # no gradients of the other players' weights
            objectives.append(objective)
        self.world.average_gradients(weights_of(optimizer))
        if self.guard.must_skip(turn.player, optimizer, self.step + 1):
            return
        self.measure(turn.player, objectives, optimizer)
        if turn.player in self.settings.clips:
            clip_(weights_of(optimizer), self.settings.clips[turn.player])
        optimizer.step()
        self.system.after_turn(turn.player)

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        return torch.autocast(self.device.type, torch.bfloat16) if self.settings.bf16 else contextlib.nullcontext()

    def average_over_ranks(self, running: Sequence[Tensor]) -> None:
        """Running means and the meter's sums become those of all ranks, so that any rank can log, draw and save."""
        if self.world.size > 1:
            self.world.average_(running)
            self.meter.sums = dict(zip(self.meter.sums, self.world.mean([*self.meter.sums.values()]), strict=True))

    # -- what is logged -----------------------------------------------------------------------------------------

    def measure(self, player: str, objectives: Sequence[Objective], optimizer: Optimizer) -> None:
        """Add a turn's numbers to the meter. They stay on the device; nothing here waits for it."""
        for objective in objectives:
            values = {**objective.terms, **objective.monitors}
            self.meter.add({f"{player}/{name}": value for name, value in values.items()})
        if player in self.norms_due():
            self.meter.add({f"{player}/gradient_norm": nn.utils.get_total_norm(gradients_of(optimizer))})

    def norms_due(self) -> frozenset[str]:
        """Players whose gradient norm is measured: at the first turn after a log, as each turn would cost up to 8 %."""
        return frozenset(player for player in self.optimizers if f"{player}/gradient_norm" not in self.meter.counts)

    def record_step(self, save_due: bool) -> StepRecord:
        """Raises FloatingPointError where a mean is not a finite number, RanksError where the ranks' weights differ."""
        means = None
        if self.step == 1 or self.step % self.settings.log_every == 0:
            means = self.meter.read_and_clear(self.step) | self.system.present()
            self.world.compare(list(self.system.parameters()))
        return StepRecord(self.step, self.images, means, save_due)

    # -- how far the run is -------------------------------------------------------------------------------------

    @property
    def progress(self) -> float:
        """0 at the start, 1 at the end."""
        if self.length.steps is not None:
            return min(1.0, self.step / self.length.steps)
        return min(1.0, self.control.seconds / (60 * (self.length.minutes or 1)))

    @property
    def schedule_progress(self) -> float:
        """0 at the start, 1 from the end of the schedules on."""
        return min(1.0, self.progress / self.settings.burn_in)

    @property
    def done(self) -> bool:
        return self.control.stopped is not None or self.progress >= 1

    @property
    def images(self) -> int:
        """Real images trained on so far, over all ranks."""
        return self.step * self.stream.batch_size

    # -- what a checkpoint holds --------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Everything that a bit-exact continuation needs, as tensors and plain values."""
        return {
            "progress": {
                "step": self.step,
                "images": self.images,
                "seconds": self.control.seconds,
                "setbacks": self.rates.setbacks,
                "ranks": self.world.size,
            },
            "system": self.system.state_dict(),
            "average": self.average.state_dict(),
            "optimizers": {player: state_of(optimizer) for player, optimizer in self.optimizers.items()},
            "meter": self.meter.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.system.load_state_dict(state["system"])
        for growth in growths_in(self.system):
            growth.never_below()  # the run may be longer now
        self.average.load_state_dict(state["average"])
        for player, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][player])
        self.meter.load_state_dict(state["meter"], self.device)
        progress = state["progress"]
        self.step = progress["step"]
        self.control.seconds, self.rates.setbacks = progress["seconds"], progress.get("setbacks", 0)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Called for a missing attribute. The error names the new place of one that earlier versions had."""
            if name in MOVED:
                raise MovedAttribute(f"trainer.{name}, which a hook reads, is now {MOVED[name]}")
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
