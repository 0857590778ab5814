"""Real-ESRGAN's game: two phases, each with its rates, and a distance that learns in the first one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from ganrun.cli.composition import compose_plain
from ganrun.losses.adversarial import LeastSquares
from ganrun.systems.real_sr import RealSR
from ganrun.systems.roles import Role
from ganrun.training import runs
from tests.systems.pictures import Enlarge, Weigh, flat

BATCH = {"source": flat(0.5, size=(2, 3)), "target": flat(1.0, size=(4, 6))}


class Learner(nn.Module):
    """A distance whose one weight learns to be the mean of the pictures."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(3.0))

    def forward(self, images: Tensor, targets: Tensor) -> Tensor:
        return self.weight * (images.mean() - targets.mean()).abs()

    def learning(self, images: Tensor) -> Tensor:
        return (self.weight - images.mean()).square()


def make(**settings) -> RealSR:
    return RealSR(Enlarge(), Weigh(1.0), LeastSquares(), content=nn.L1Loss(), **settings)


def objectives(system: RealSR, step: int):
    return {turn.player: turn.objective(BATCH) for turn in system.turns(step)}


def terms(system: RealSR, step: int) -> dict[str, float]:
    return {name: term.item() for name, term in objectives(system, step)["generator"].terms.items()}


def test_content_alone_comes_first_and_then_the_papers_sum() -> None:
    system = make(pretrain_steps=2, perceptual="own", distance=Learner())
    assert terms(system, 1) == {"content": pytest.approx(0.5)}
    assert terms(system, 2) == {
        "adversarial": pytest.approx(0.1 * 0.125),  # ½ (0.5 − 1)²
        "content": pytest.approx(0.5),
        "perceptual": pytest.approx(3 * 0.5),
    }


def test_a_distance_learns_in_the_content_phase_alone() -> None:
    system = make(pretrain_steps=2, perceptual="own", distance=Learner())
    players = [[turn.player for turn in system.turns(step)] for step in range(4)]
    assert players == [["generator", "perceptual"]] * 2 + [["discriminator", "generator"]] * 2
    assert objectives(system, 0)["perceptual"].total.item() == pytest.approx(4.0)  # (3 − 1)²
    assert system.role("perceptual") is Role.OTHER
    assert "features.own.weight" in system.state_dict()


def test_a_share_of_the_run_counts_where_the_steps_are_not_known() -> None:
    system = make(pretrain_share=0.25)
    system.at_progress(0.2)
    assert [turn.player for turn in system.turns(7)] == ["generator"]
    system.at_progress(0.25)
    assert [turn.player for turn in system.turns(7)] == ["discriminator", "generator"]
    assert system.follows_progress() == ["model.pretrain_share"]


@pytest.mark.parametrize(
    ("words", "steps"),
    [
        (["steps=1000"], 500),
        (["kimg=6.4", "batch_size=32"], 100),
        (["epochs=3"], None),
        (["steps=1000", "model.pretrain_share=0.9"], 900),
        (["steps=1000", "model.pretrain_steps=7"], 7),
        (["steps=1000", "init_from=somewhere"], 0),
    ],
)
def test_the_schedule_is_said_in_steps_or_as_a_share(words: list[str], steps: int | None) -> None:
    assert compose_plain("train", ["model=real_sr", *words])["model"]["pretrain_steps"] == steps


def test_rates_fall_when_the_adversarial_phase_begins_and_a_longer_run_does_not_go_back(tiny, tmp_path: Path) -> None:
    config = tiny("model=real_sr", "steps=6", "hooks=quiet", "optimizer.lr=1e-3")
    trainer = runs.assemble(config, tmp_path)
    assert config["model"]["pretrain_steps"] == 2
    seen = []
    for step in (0, 1, 2, 5):
        trainer.step = step
        trainer.follow_schedules()
        seen.append({name: one.param_groups[0]["lr"] for name, one in trainer.optimizers.items()})
    assert [set(rates.values()) for rates in seen] == [{1e-3}, {1e-3}, {5e-4}, {5e-4}]
    assert len(seen[0]) == 3
    trainer.length.steps = 600  # what is stored is a number of steps
    trainer.follow_schedules()
    assert [turn.player for turn in trainer.system.turns(5)] == ["discriminator", "generator"]


def test_what_a_run_cannot_do_is_said() -> None:
    assert "the whole run of 5 steps is the content phase" in make(pretrain_steps=5).remarks(5)[0]
    (line,) = make(pretrain_steps=0, perceptual="own", distance=Learner()).remarks(5)
    assert line.startswith("model.perceptual=own learns its features in the content phase, and this run has none")
