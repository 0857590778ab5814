"""Trainer: plays a system's turns. It does not know what a GAN is."""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ganrun.common.distributed import World, running_means
from ganrun.common.schedules import Schedule
from ganrun.common.seeding import reseed
from ganrun.data.loading.stream import Batch, Stream, cut, prepare
from ganrun.losses.objective import Objective
from ganrun.systems.system import System, Turn
from ganrun.training.clipping import clip_
from ganrun.training.ema import Average
from ganrun.training.length import Length
from ganrun.training.meter import Meter
from ganrun.training.tensors import finite, state_of, weights_of

log = logging.getLogger("ganrun")

SMALLEST_DRAWN = 8  # pictures: fewer at once would be slow, and without gradients they take little memory
EXAMPLES = -1  # takes the place of the step in the seed of fixed examples


class Player(Protocol):
    """Plays one step in place of `Trainer.play_step`."""

    def play(self, batches: Iterator[Batch]) -> None: ...


class Listener(Protocol):
    """What a hook looks like from here."""

    def on_start(self, trainer: Trainer) -> None: ...
    def on_step(self, trainer: Trainer) -> None: ...
    def on_end(self, trainer: Trainer) -> None: ...
    def on_failure(self, trainer: Trainer) -> None: ...


class GoBack(FloatingPointError):
    """Somebody who watches the run wants it back at a checkpoint of step `since` or before."""

    def __init__(self, reason: str, since: int) -> None:
        super().__init__(reason)
        self.since = since


class Trainer:
    """Owns optimizers, weight average, precision, step count, randomness and device; tells hooks.

    `optimizers` and `schedules` have one entry for each of the system's players. A turn whose gradients are not
    finite numbers is left out, at most `skip_limit` times in a row; with 0 nobody looks before the next log or save.
    `recorder` makes of this trainer what plays its steps in place of `play_step`.
    Each rank of `world` plays with its share of the batch, in `accumulate` parts; gradients are averaged once a turn.
    `clips` are the most that the norms of players' gradients may be: what is beyond is scaled down, after averaging.
    """

    def __init__(
        self,
        system: System,
        stream: Stream,
        optimizers: Mapping[str, Optimizer],
        schedules: Mapping[str, Schedule],
        average: Average,
        length: Length,
        hooks: Sequence[Listener] = (),
        *,
        seed: int = 0,
        device: torch.device | None = None,
        bf16: bool = False,
        flip: bool = False,
        log_every: int = 50,
        skip_limit: int = 0,
        recorder: Callable[[Trainer], Player] | None = None,
        world: World | None = None,
        accumulate: int = 1,
        clips: Mapping[str, float] | None = None,
    ) -> None:
        self.system, self.stream, self.average, self.length = system, stream, average, length
        self.optimizers, self.schedules = dict(optimizers), dict(schedules)
        self.rates = {name: optimizer.param_groups[0]["lr"] for name, optimizer in self.optimizers.items()}
        self.hooks = list(hooks)
        self.seed, self.device, self.bf16, self.flip = seed, device or torch.device("cpu"), bf16, flip
        self.log_every, self.skip_limit, self.recorder = log_every, skip_limit, recorder
        self.world, self.accumulate, self.clips = world or World(), accumulate, dict(clips or {})
        self.skipped = 0  # turns in a row
        self.setbacks = 0  # how often the run went back to a checkpoint; each halves the learning rates
        self.step = 0
        self.seconds = (
            0.0  # only counted where the length is in minutes, so that other checkpoints repeat byte for byte
        )
        self.meter = Meter()
        self.logged: dict[str, float] | None = None  # means since the last log, on steps where they are due
        self.pictures: dict[str, Tensor] = {}  # (C, H, W) uint8, made by one hook in this step for the others to show
        self.scores: dict[str, float] = {}  # of this step, by name, from one hook for the others to see
        self.alarms: list[str] = []  # what was found wrong with the run, a line each
        self.save_asked = self.save_due = False  # somebody outside asked; a checkpoint is due in this step
        self.stop_asked: tuple[str, int] | None = None  # a reason and an exit code
        self.back_asked: tuple[str, int] | None = None  # a reason, and the step since which it has been so
        self.stopped: str | None = None
        self.exit_code = 0  # what the process should end with

    # -- the loop -----------------------------------------------------------------------------------------------

    def fit(self) -> None:
        try:
            self.play_on()
        except BaseException:
            for hook in reversed(self.hooks):
                try:
                    hook.on_failure(self)
                except Exception:  # what went wrong first is what should be said
                    log.debug("%s could not put its things away", type(hook).__name__, exc_info=True)
            raise

    def play_on(self) -> None:
        self.system.train()
        self.world.share([*self.system.state_dict().values(), *self.average.state_dict().values()], self.step)
        for hook in self.hooks:
            hook.on_start(self)
        self.running_means = running_means(self.system)
        batches = self.stream.starting_at(self.step)
        play_step = self.recorder(self).play if self.recorder else self.play_step
        began = time.monotonic() - self.seconds
        while not self.done:
            reseed(self.seed, self.step, self.stream.rank)
            self.set_rates()
            play_step(batches)
            self.share_what_is_no_gradient()
            self.average.update(self.step)
            self.step += 1
            self.heed_wishes(time.monotonic() - began)
            self.logged = self.meter.read_and_clear(self.step) if self.log_due else None
            if self.log_due:
                self.world.compare(list(self.system.parameters()))
            self.pictures.clear()
            self.scores.clear()
            for hook in self.hooks:
                hook.on_step(self)
        for hook in reversed(self.hooks):  # the last to look is the first to put its things away
            hook.on_end(self)

    def play_step(self, batches: Iterator[Batch]) -> None:
        self.play_turns(self.prepare(next(batches)))

    def play_turns(self, batch: Batch) -> None:
        parts = cut(batch, self.accumulate)
        for turn in self.system.turns(self.step):
            self.play(turn, parts)

    def prepare(self, batch: Batch) -> Batch:
        """uint8 -> float in [-1, 1], on the device, mirrored and damaged as the data ask for."""
        return self.stream.data.transform(prepare(batch, self.device, self.flip))

    def play(self, turn: Turn, parts: Sequence[Batch]) -> None:
        """The only place that steps."""
        optimizer, objectives = self.optimizers[turn.player], []
        optimizer.zero_grad(set_to_none=True)
        for part in parts:
            with self.autocast():
                objective = turn.objective(part)
            total = objective.total if len(parts) == 1 else objective.total / len(parts)
            total.backward(inputs=weights_of(optimizer))  # nobody else's gradients are computed
            objectives.append(objective)
        self.world.average_gradients(weights_of(optimizer))
        if self.skip_limit and self.must_skip(turn.player, optimizer):
            return
        self.record(turn.player, objectives, optimizer)
        if turn.player in self.clips:
            clip_(weights_of(optimizer), self.clips[turn.player])
        optimizer.step()
        self.system.after_turn(turn.player)

    def share_what_is_no_gradient(self) -> None:
        """Running means and the meter's sums become those of all ranks, so that any rank can log, draw and save."""
        if self.world.size > 1:
            self.world.average_(self.running_means)
            self.meter.sums = dict(zip(self.meter.sums, self.world.mean([*self.meter.sums.values()]), strict=True))

    def heed_wishes(self, seconds: float) -> None:
        """Stop, save, go back, the time that has passed: what one rank knows, all act on in the same step.

        Raises GoBack.
        """
        save, self.save_asked = self.save_asked, False
        stop = 1 + self.stop_asked[1] if self.stop_asked else 0
        back = 1 + self.back_asked[1] if self.back_asked else 0
        agreed = self.world.max_over_ranks([stop, save, seconds if self.length.minutes is not None else 0, back])
        self.save_due, self.seconds = bool(agreed[1]), max(self.seconds, agreed[2])
        if agreed[0] and not self.stopped:
            self.stopped, self.exit_code = self.stop_asked or ("stopped with another rank", int(agreed[0]) - 1)
        if agreed[3] and not self.stopped:
            reason, _ = self.back_asked or ("another rank goes back", 0)
            self.back_asked = None
            raise GoBack(reason, int(agreed[3]) - 1)

    def record(self, player: str, objectives: Sequence[Objective], optimizer: Optimizer) -> None:
        """On the device; nothing here waits for it."""
        for objective in objectives:
            values = {**objective.terms, **objective.monitors}
            self.meter.add({f"{player}/{name}": value for name, value in values.items()})
        if player in self.norms_due():
            gradients = [weight.grad for weight in weights_of(optimizer) if weight.grad is not None]
            self.meter.add({f"{player}/gradient_norm": nn.utils.get_total_norm(gradients)})

    def norms_due(self) -> frozenset[str]:
        """Whose gradients are measured: at the first turn after each log, as every turn would cost up to 8 %."""
        return frozenset(player for player in self.optimizers if f"{player}/gradient_norm" not in self.meter.counts)

    def must_skip(self, player: str, optimizer: Optimizer) -> bool:
        """Waits for the device. Raises FloatingPointError at the `skip_limit`-th time in a row."""
        gradients = [weight.grad for weight in weights_of(optimizer) if weight.grad is not None]
        if math.isfinite(nn.utils.get_total_norm(gradients).item()):
            self.skipped = 0
            return False
        self.skipped += 1
        log.warning("step %d: a gradient of %s is no finite number: that turn is left out", self.step + 1, player)
        if self.skipped >= self.skip_limit:
            raise FloatingPointError(
                f"gradients of {player} were no finite numbers {self.skipped} times in a row, at step {self.step + 1}: "
                "try a lower optimizer.lr, precision=fp32 if it was bf16, or a larger non_finite.limit"
            )
        return True

    def set_rates(self) -> None:
        """Follow each player's schedule; a constant one is left alone."""
        for player, schedule in self.schedules.items():
            if schedule.needs_an_end or self.setbacks:
                rate = self.rates[player] * schedule.factor(self.progress) * 0.5**self.setbacks
                for group in self.optimizers[player].param_groups:
                    if isinstance(group["lr"], Tensor):
                        group["lr"].fill_(rate)
                    else:
                        group["lr"] = rate

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        return torch.autocast(self.device.type, torch.bfloat16) if self.bf16 else contextlib.nullcontext()

    # -- what hooks read ----------------------------------------------------------------------------------------

    @property
    def progress(self) -> float:
        """0 at the start, 1 at the end."""
        if self.length.steps is not None:
            return min(1.0, self.step / self.length.steps)
        return min(1.0, self.seconds / (60 * (self.length.minutes or 1)))

    @property
    def done(self) -> bool:
        return self.stopped is not None or self.progress >= 1

    @property
    def images(self) -> int:
        """Real images seen so far, over all ranks."""
        return self.step * self.stream.batch_size

    @property
    def log_due(self) -> bool:
        return self.step == 1 or self.step % self.log_every == 0

    def stop(self, reason: str, exit_code: int = 1) -> None:
        """Finish this step, let the hooks end their work, and leave."""
        if self.world.size == 1:
            self.stopped, self.exit_code = reason, exit_code
        else:  # all ranks leave in one step
            self.stop_asked = reason, exit_code

    def go_back(self, reason: str, since: int) -> None:
        """Leave this session at the next step, by GoBack, to a checkpoint of step `since` or before."""
        self.back_asked = reason, since

    def prepared(self, step: int) -> Batch:
        """Batch `step` of the data on the device, that of all ranks, in [-1, 1], not mirrored."""
        stream = self.stream if self.world.size == 1 else Stream(self.stream.data, self.stream.batch_size, self.seed)
        return self.stream.data.transform(prepare(stream[step], self.device))

    def examples(self, count: int) -> Batch:
        """The same inputs for `render` at every call and after every resume; training's randomness is not touched."""
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            reseed(self.seed, EXAMPLES)
            examples = self.system.examples(self.prepared(0), count)
        return {name: tensor.to(self.device) for name, tensor in examples.items()}

    def render(self, examples: Batch) -> Tensor:
        """(N, C, H, W) images in [-1, 1], drawn with the averaged weights in eval mode."""
        with self.showing():
            return torch.cat([self.system.render(part).float() for part in self.drawn_at_once(examples)])

    def panels(self, examples: Batch) -> list[Tensor]:
        """What a grid shows side by side, (N, C, H, W) images in [-1, 1] each, drawn like `render`."""
        with self.showing():
            drawn = [self.system.panels(part) for part in self.drawn_at_once(examples)]
            return [torch.cat(parts).float() for parts in zip(*drawn, strict=True)]

    def drawn_at_once(self, examples: Batch) -> list[Batch]:
        """Examples in parts as large as those of a turn, so that a grid takes no more memory than training."""
        share = self.stream.batch_size // (self.world.size * self.accumulate)
        count = max((len(tensor) for tensor in examples.values()), default=1)
        return cut(examples, max(1, -(-count // max(SMALLEST_DRAWN, share))))

    @contextlib.contextmanager
    def showing(self) -> Iterator[None]:
        """Within this block the system is in eval mode with the averaged weights, and makes no graph."""
        self.system.eval()
        try:
            with torch.no_grad(), self.average.applied():
                yield
        finally:
            self.system.train()

    @torch.no_grad()
    def verdicts(self, images: Tensor, examples: Batch) -> Tensor | None:
        """(N, C, H, W) images rendered from examples -> (N,) what the system's judge thinks of each, in eval mode."""
        self.system.eval()
        try:
            return self.system.verdicts(images, examples)
        finally:
            self.system.train()

    # -- what a checkpoint holds --------------------------------------------------------------------------------

    def broken(self) -> bool:
        """Whether a weight or running mean is no finite number. Waits for the device."""
        return not (finite(self.system.state_dict()) and finite(self.average.state_dict()))

    def refuse_broken(self) -> None:
        """Raises FloatingPointError where a weight or running mean is no finite number. Waits for the device."""
        if not self.broken():
            return
        of = [player for player, module in self.system.players().items() if not finite(module.state_dict())]
        raise FloatingPointError(
            f"a weight of {(of or ['the average'])[0]} is no finite number at step {self.step}, which is not saved: "
            "try a lower optimizer.lr, or precision=fp32 if it was bf16"
        )

    def state_dict(self) -> dict[str, Any]:
        """Everything that a bit-exact continuation needs, as tensors and plain values."""
        return {
            "progress": {
                "step": self.step,
                "images": self.images,
                "seconds": self.seconds,
                "setbacks": self.setbacks,
                "ranks": self.world.size,
            },
            "system": self.system.state_dict(),
            "average": self.average.state_dict(),
            "optimizers": {player: state_of(optimizer) for player, optimizer in self.optimizers.items()},
            "meter": self.meter.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.system.load_state_dict(state["system"])
        self.average.load_state_dict(state["average"])
        for player, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][player])
        self.meter.load_state_dict(state["meter"], self.device)
        progress = state["progress"]
        self.step, self.seconds, self.setbacks = progress["step"], progress["seconds"], progress.get("setbacks", 0)
