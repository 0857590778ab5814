"""The trainer, with a game small enough to follow by hand."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from ganrun.common.schedules import Constant, Linear
from ganrun.data.dataset import Dataset
from ganrun.data.loading.stream import Stream
from ganrun.losses.objective import Objective
from ganrun.systems.system import Batch, System, Turn
from ganrun.training import rendering
from ganrun.training.ema import Average
from ganrun.training.length import Length
from ganrun.training.record import StepRecord
from ganrun.training.tensors import weights_of
from ganrun.training.trainer import Trainer


class TwoWeights(System):
    """Player a pulls its weight to 1, player b pulls its own to a's; b moves every other step."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
        nn.init.zeros_(self.a.weight)
        nn.init.zeros_(self.b.weight)
        self.after: list[str] = []
        self.noise: list[float] = []

    def players(self) -> dict[str, nn.Module]:
        return {"a": self.a, "b": self.b}

    def turns(self, step: int) -> Iterator[Turn]:
        yield Turn("a", self.turn_of_a)
        if step % 2:
            yield Turn("b", lambda batch: Objective({"far": (self.b.weight - self.a.weight).square().sum()}))

    def turn_of_a(self, batch: Batch) -> Objective:
        self.noise.append(torch.rand(()).item())
        return Objective({"far": (self.a.weight - 1).square().sum()}, {"seen": batch["image"].mean()})

    def after_turn(self, player: str) -> None:
        self.after.append(player)

    def ema_module(self) -> nn.Module:
        return self.a

    def examples(self, batch: Batch, count: int) -> Batch:
        return {"noise": torch.rand(count, 1)}

    def render(self, examples: Batch) -> Tensor:
        return self.a(examples["noise"])


def make(steps: int | None = 4, seed: int = 0, lr: float = 0.25, schedule=None, hooks=(), **kwargs) -> Trainer:
    system = TwoWeights()
    images = torch.arange(6, dtype=torch.uint8).view(6, 1, 1, 1).expand(6, 1, 2, 2).contiguous()
    optimizers = {name: torch.optim.SGD(module.parameters(), lr) for name, module in system.players().items()}
    schedules = {name: schedule or Constant() for name in optimizers}
    average = Average(system.ema_module(), half_life=0, batch_size=2)
    length = kwargs.pop("length", None) or Length(steps=steps)
    return Trainer(
        system, Stream(Dataset(images), 2, seed), optimizers, schedules, average, length, hooks, seed=seed, **kwargs
    )


def test_turns_are_played_in_order_and_as_often_as_the_system_says() -> None:
    trainer = make(steps=4)
    trainer.fit()
    assert trainer.system.after == ["a", "a", "b", "a", "a", "b"]
    assert (trainer.step, trainer.images) == (4, 8)


def test_a_step_is_plain_gradient_descent() -> None:
    trainer = make(steps=1)
    trainer.fit()
    assert trainer.system.a.weight.item() == pytest.approx(0.5)  # 0 - 0.25 * 2 * (0 - 1)
    assert trainer.system.b.weight.item() == 0


def test_only_the_players_own_gradients_are_computed() -> None:
    trainer = make(steps=2)
    trainer.fit()
    (gradient,) = [weight.grad for weight in weights_of(trainer.optimizers["a"])]
    assert gradient.item() == pytest.approx(2 * (0.5 - 1))  # from its own last turn: b's objective added nothing


def test_randomness_is_a_function_of_seed_and_step() -> None:
    whole, again, other = make(steps=6), make(steps=6), make(steps=6, seed=1)
    for trainer in (whole, again, other):
        trainer.fit()
    assert whole.system.noise == again.system.noise != other.system.noise
    assert len(set(whole.system.noise)) == 6

    resumed = make(steps=6)
    half = make(steps=3)
    half.fit()
    resumed.load_state_dict(half.state_dict())
    torch.manual_seed(12345)
    resumed.fit()
    assert half.system.noise + resumed.system.noise == whole.system.noise


def test_numbers_are_read_when_a_log_is_due_and_not_before() -> None:
    seen = []

    class Reader:
        on_start = on_end = staticmethod(lambda trainer: None)

        def on_step(self, trainer: Trainer, record: StepRecord) -> None:
            seen.append((record.step, record.means))

    trainer = make(steps=4, hooks=[Reader()], log_every=4)
    trainer.fit()
    assert [step for step, logged in seen if logged is not None] == [1, 4]
    last = seen[-1][1]
    # a's weight is 0, 1/2, 3/4, 7/8 before steps 1 to 4; the log of step 4 is the mean since step 1's
    assert last["a/far"] == pytest.approx((1 / 4 + 1 / 16 + 1 / 64) / 3)
    assert last["a/gradient_norm"] == pytest.approx(2 * (1 / 2)), "of the first turn after the last log"


def test_a_number_that_is_none_stops_the_run_by_name() -> None:
    trainer = make(steps=3, lr=float("inf"), log_every=3)
    with pytest.raises(FloatingPointError, match=r"a/far is (nan|inf) at step 3"):
        trainer.fit()


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("skip_limit", [0, 1])
def test_float32_is_a_remedy_only_for_a_run_in_bf16(bf16: bool, skip_limit: int) -> None:
    trainer = make(steps=3, lr=float("inf"), log_every=3, bf16=bf16, skip_limit=skip_limit)
    with pytest.raises(FloatingPointError, match=r"try a lower optimizer\.lr") as caught:
        trainer.fit()
    assert ("precision=fp32" in str(caught.value)) == bf16


def test_a_schedule_moves_the_rate_and_a_resumed_run_follows_it() -> None:
    trainer = make(steps=4, schedule=Linear(), lr=0.1)
    rates = []
    play = trainer.play
    trainer.play = lambda turn, batch: (rates.append(trainer.optimizers["a"].param_groups[0]["lr"]), play(turn, batch))
    trainer.fit()
    assert sorted(set(rates), reverse=True) == pytest.approx([0.1, 0.075, 0.05, 0.025])


def test_stop_ends_after_the_step_and_lets_hooks_end_their_work() -> None:
    ended = []

    class Stopper:
        on_start = staticmethod(lambda trainer: None)
        on_end = staticmethod(lambda trainer: ended.append(trainer.step))

        def on_step(self, trainer: Trainer, record: StepRecord) -> None:
            if trainer.step == 2:
                trainer.control.stop("enough", exit_code=7)

    trainer = make(steps=100, hooks=[Stopper()])
    trainer.fit()
    assert ended == [2]
    assert (trainer.control.stopped, trainer.control.exit_code) == ("enough", 7)


def test_minutes_end_a_run_and_are_remembered() -> None:
    trainer = make(length=Length(minutes=0.05 / 60))
    trainer.fit()
    assert trainer.step > 1
    assert trainer.control.seconds >= 0.05
    assert trainer.state_dict()["progress"]["seconds"] == trainer.control.seconds
    resumed = make(length=Length(minutes=0.05 / 60))
    resumed.load_state_dict(trainer.state_dict())
    assert resumed.done


def test_examples_are_the_same_at_every_call_and_leave_randomness_alone() -> None:
    trainer = make()
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    first, second = rendering.examples(trainer, 5), rendering.examples(trainer, 5)
    assert torch.equal(first["noise"], second["noise"])
    assert torch.equal(torch.rand(3), expected)


def test_pictures_are_ema_module_the_averaged_weights_in_eval_mode() -> None:
    trainer = make()
    with torch.no_grad():
        trainer.average.copy["weight"].fill_(3.0)
    drawn = rendering.render(trainer, {"noise": torch.ones(1, 1)})
    assert drawn.item() == 3.0
    assert trainer.system.a.weight.item() == 0.0
    assert trainer.system.training


def test_many_pictures_are_drawn_in_parts_as_large_as_a_batch_and_come_back_in_order() -> None:
    trainer, sizes = make(), []
    render = trainer.system.render
    trainer.system.render = lambda examples: (sizes.append(len(examples["noise"])), render(examples))[1]
    noise = torch.arange(20.0).view(20, 1)
    with torch.no_grad():
        trainer.average.copy["weight"].fill_(2.0)
    assert torch.equal(rendering.render(trainer, {"noise": noise}), 2 * noise)
    assert torch.equal(rendering.panels(trainer, {"noise": noise})[""], 2 * noise)
    assert sizes == 2 * [7, 7, 6]  # batches are smaller than the least that is drawn at once, 8


def test_bf16_computes_in_bf16_and_keeps_float32_weights() -> None:
    trainer = make(steps=2, bf16=True)
    seen = []
    trainer.system.turn_of_a = lambda batch: (
        seen.append(trainer.system.a(batch["image"].flatten(1)[:, :1]).dtype),
        Objective({"far": (trainer.system.a.weight - 1).square().sum()}),
    )[1]
    trainer.fit()
    assert set(seen) == {torch.bfloat16}
    assert trainer.system.a.weight.dtype == torch.float32
