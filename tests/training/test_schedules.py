"""What follows a run's progress: learning rates, beta2, the penalties' gamma, the average's half-life."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import nn

from ganrun.checkpoints import load
from ganrun.checkpoints.checkpoint import to_builtin
from ganrun.common.errors import UserError
from ganrun.common.schedules import Constant, Cosine, half_cosine
from ganrun.config.schema import check_stored
from ganrun.losses.penalties import R1, R2, Scored
from ganrun.losses.relativistic import RelativisticLogistic
from ganrun.training import runs
from ganrun.training.cuda_graphs import refusal
from ganrun.training.ema import Average
from ganrun.training.hooks.hook import Hook
from ganrun.training.planning.plan import plan
from tests.same import differences

ALL = [
    "model=mlp", "loss=r3gan", "schedule=r3gan", "loss.penalties.r1.gamma=0.05", "loss.penalties.r1.gamma_end=0.005",
    "loss.penalties.r2.gamma=0.05", "loss.penalties.r2.gamma_end=0.005", "average.half_life_start=0",
    "average.half_life=5000", "hooks=quiet",
]  # fmt: skip


def numbers(trainer) -> dict[str, float]:
    """What the next step is computed with."""
    trainer.follow_schedules()
    group = trainer.optimizers["discriminator"].param_groups[0]
    return {
        "lr": group["lr"],
        "beta2": group["betas"][1],
        "r1": trainer.system.loss.penalties["r1"].weight_now.item(),
        "r2": trainer.system.loss.penalties["r2"].weight_now.item(),
        "decay": trainer.average.decay(trainer.schedule_progress),
    }


@pytest.mark.parametrize(("step", "lr", "beta2", "gamma", "half_life"), [
    (0, 2e-4, 0.9, 0.05, 0),
    (2, 1.25e-4, 0.945, 0.0275, 2500),  # half-way: the mean of both ends
    (4, 5e-5, 0.99, 0.005, 5000),
    (7, 5e-5, 0.99, 0.005, 5000),  # after the burn-in they stand still
])  # fmt: skip
def test_the_papers_schedules_pass_through_their_corners(
    step: int, lr: float, beta2: float, gamma: float, half_life: float, tiny, tmp_path: Path
) -> None:
    trainer = runs.assemble(tiny(*ALL, "steps=8", "burn_in=0.5"), tmp_path)
    trainer.step = step
    decay = 0.5 ** (8 / (1000 * half_life)) if half_life else 0  # batches of 8
    expected = {"lr": lr, "beta2": beta2, "r1": gamma, "r2": gamma, "decay": decay}
    assert numbers(trainer) == pytest.approx(expected)
    assert trainer.optimizers["discriminator"].param_groups[0]["betas"][0] == 0


def test_half_a_cosine_is_level_at_both_ends() -> None:
    assert half_cosine(0.25, 0, 1) == pytest.approx(0.5 - math.sqrt(0.125))
    assert half_cosine(0.01, 0, 1) < 0.001
    assert half_cosine(0.99, 0, 1) > 0.999


def test_both_penalties_are_measured_with_the_gamma_of_the_moment() -> None:
    """∇D of a linear discriminator is w for every image: each term is γ/2·‖w‖², here γ/2·25."""
    layer = nn.Linear(2, 1)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[3.0, 4.0]]))
    loss = RelativisticLogistic(penalties={"r1": R1(0.05, 1, 0.005), "r2": R2(0.05, 1, 0.005)})
    images = torch.randn(6, 1, 1, 2)
    for progress, gamma in ((0, 0.05), (0.5, 0.0275), (1, 0.005)):
        loss.at_progress(progress)
        terms = loss.discriminator_objective(lambda x: layer(x.flatten(1))[:, 0], images, -images).terms
        assert [terms["r1"].item(), terms["r2"].item()] == pytest.approx([gamma / 2 * 25] * 2)
    assert not loss.state_dict(), "a function of the progress is not saved"


def test_a_moving_gamma_has_the_numbers_of_a_fixed_one() -> None:
    """Also under lazy regularisation, at the start of the schedule."""
    images = torch.randn(4, 1, 2, 2).requires_grad_()
    logits = images.square().flatten(1).sum(1)
    scored = Scored(lambda x: x.square().flatten(1).sum(1), images, images, logits, logits)
    assert torch.equal(R1(2.0, 4, 1.0)(scored), R1(2.0, 4)(scored))


def test_a_run_with_all_schedules_resumes_bit_for_bit(tiny, tmp_path: Path) -> None:
    config = tiny(*ALL, "steps=8", "checkpoint.every=4", "burn_in=0.75")
    whole = runs.train(config, tmp_path / "whole")
    stopped = runs.assemble(config, tmp_path / "parts")
    stopped.hooks.insert(0, StopAt(4))
    stopped.fit()
    assert stopped.step == 4
    state = load.load_checkpoint(str(tmp_path / "parts"), "resume")
    resumed = runs.train(config, tmp_path / "parts", state=state)
    assert differences(to_builtin(whole.state_dict()), to_builtin(resumed.state_dict())) == []
    assert numbers(whole) == numbers(resumed)


class StopAt(Hook):
    """Ends a run early, its length unchanged."""

    def __init__(self, step: int) -> None:
        self.at = step

    def on_step(self, trainer, record) -> None:
        if record.step == self.at:
            trainer.control.stop("enough")


@pytest.mark.parametrize(("words", "named"), [
    (["schedule=r3gan"], "this schedule"),
    (["loss=r3gan", "loss.penalties.r2.gamma_end=0.1"], "loss.penalties.r2"),
    (["average.half_life_start=0"], "average.half_life_start"),
])  # fmt: skip
def test_what_needs_an_end_refuses_minutes_and_is_named(words: list[str], named: str, tiny) -> None:
    with pytest.raises(UserError, match=rf"minutes=.*{named} needs: give steps, epochs or kimg"):
        plan(tiny("model=mlp", "minutes=1", *words))


def test_a_burn_in_of_nothing_is_said(tiny) -> None:
    said = plan(tiny("model=mlp", "steps=2", "burn_in=0.5")).remarks
    assert "burn_in=0.5 has no effect: nothing in this run has a schedule" in said
    said = plan(tiny("model=mlp", "steps=2", "burn_in=0.5", "schedule=cosine")).remarks
    assert not any("burn_in" in line for line in said)


def test_an_optimizer_without_betas_refuses_a_schedule_of_beta2(tiny) -> None:
    with pytest.raises(UserError, match=r"optimizer\.schedule\.beta2: RMSprop has no betas; use optimizer=adam"):
        plan(tiny("model=mlp", "steps=2", "optimizer=rmsprop", "schedule=r3gan"))


def test_a_recording_would_keep_beta2_so_none_is_made(tiny, tmp_path: Path) -> None:
    trainer = runs.assemble(tiny("model=mlp", "steps=2", "schedule=r3gan"), tmp_path)
    assert "moves beta2" in refusal(trainer)
    trainer.rates.schedules = {player: Cosine() for player in trainer.optimizers}
    assert refusal(trainer) is None


def test_runs_from_before_the_schedules_open_and_train_as_they_did(tiny, tmp_path: Path) -> None:
    config = tiny("model=mlp", "steps=4", "hooks=quiet", "schedule=cosine")
    before = {key: value for key, value in config.items() if key != "burn_in"}
    before["average"] = {"half_life": 10}
    before["optimizer"] = {**config["optimizer"], "schedule": {**config["optimizer"]["schedule"]}}
    del before["optimizer"]["schedule"]["beta2"]
    check_stored(before)
    one, other = runs.train(config, tmp_path / "one"), runs.train(before, tmp_path / "other")
    assert differences(to_builtin(one.state_dict()), to_builtin(other.state_dict())) == []


def test_a_half_life_may_not_start_below_zero() -> None:
    with pytest.raises(ValueError, match=r"average\.half_life_start=-1"):
        Average(nn.Linear(1, 1), 5, 8, start=-1)
    with pytest.raises(ValueError, match=r"R1: a weight of -1"):
        R1(1, 1, -1)


def test_a_system_hands_the_progress_to_each_of_its_losses(tiny, tmp_path: Path) -> None:
    trainer = runs.assemble(tiny("model=cyclegan", "loss=r3gan", "loss.penalties.r1.gamma_end=0", "steps=2"), tmp_path)
    assert trainer.system.follows_progress() == ["loss.penalties.r1"]
    trainer.step = 1
    trainer.follow_schedules()
    assert [loss.penalties["r1"].weight_now.item() for loss in trainer.system.loss.values()] == [0.5, 0.5]
    assert Constant().beta2(0.5) is None
