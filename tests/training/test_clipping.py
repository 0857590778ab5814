"""Gradient clipping: each player's own limit, on what all ranks agreed on, and no trace of it where there is none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ganrun.checkpoints import checkpoint, load
from ganrun.common.errors import UserError
from ganrun.config import builders
from ganrun.training import optimizers, runs
from ganrun.training.clipping import clip_
from tests.same import differences
from tests.training.test_trainer import make


def test_the_gradient_of_all_weights_together_is_scaled_to_the_limit() -> None:
    one, other = torch.zeros(1, requires_grad=True), torch.zeros(2, requires_grad=True)
    one.grad, other.grad = torch.tensor([3.0]), torch.tensor([0.0, 4.0])
    clip_([one, other, torch.zeros(1)], 1.0)  # |(3, 0, 4)| = 5
    assert torch.cat([one.grad, other.grad]).tolist() == pytest.approx([0.6, 0, 0.8])
    clip_([one, other], 100.0)
    assert torch.cat([one.grad, other.grad]).tolist() == pytest.approx([0.6, 0, 0.8]), "below the limit it stays"


def test_each_player_has_its_own_limit_and_the_log_shows_the_norm_before_it() -> None:
    seen = []

    class Reader:
        on_start = on_end = staticmethod(lambda trainer: None)
        on_step = staticmethod(lambda trainer, record: seen.append(record.means))

    trainer = make(steps=1, clips={"a": 1.0, "b": 0.1}, hooks=[Reader()])
    trainer.fit()
    assert trainer.system.a.weight.item() == pytest.approx(0.25)  # 0 + 0.25 · 1; without a limit 0.25 · 2
    assert seen[0]["a/gradient_norm"] == pytest.approx(2)
    only_a = make(steps=2, clips={"a": 1.0})
    only_a.fit()
    # a: 0.25, then |-1.5| is cut to 1 again: 0.5; b: 0 + 0.25 · 2 · 0.5
    assert only_a.system.a.weight.item() == pytest.approx(0.5)
    assert only_a.system.b.weight.item() == pytest.approx(0.25)


def test_no_limit_and_one_that_is_never_met_are_the_same_run() -> None:
    free, wide = make(steps=6), make(steps=6, clips={"a": 1e6, "b": 1e6})
    for trainer in (free, wide):
        trainer.fit()
    assert differences(free.state_dict(), wide.state_dict()) == []


def test_what_is_cut_is_the_gradient_of_all_ranks() -> None:
    trainer = make(steps=1, clips={"a": 1.0})

    def exchanged(weights: list[torch.Tensor]) -> None:
        for weight in weights:
            weight.grad.mul_(0.25)  # the others' gradients were small: the mean is 0.5, below the limit

    trainer.world.average_gradients = exchanged
    trainer.fit()
    assert trainer.system.a.weight.item() == pytest.approx(0.25 * 0.5)


def test_with_parts_of_a_batch_the_whole_batchs_gradient_is_cut() -> None:
    trainer = make(steps=1, clips={"a": 1.0}, accumulate=2)
    trainer.fit()
    assert trainer.system.a.weight.item() == pytest.approx(0.25)


def test_a_turn_that_is_left_out_is_not_cut_either() -> None:
    trainer = make(steps=1, clips={"a": 1.0}, skip_limit=2)
    trainer.system.a.weight.data.fill_(float("inf"))  # its gradient is no number
    trainer.fit()
    assert trainer.guard.in_a_row == 1
    assert trainer.system.a.weight.item() == float("inf")


def test_a_run_with_limits_resumes_bit_for_bit(tiny: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    words = ["model=mlp", "hooks=quiet", "optimizer.clip_norm=0.01", "++optimizer.players.generator.clip_norm=0.02"]
    whole = runs.train(tiny(*words, "steps=6"), tmp_path / "whole")
    assert whole.settings.clips == {"discriminator": 0.01, "generator": 0.02}
    runs.train(tiny(*words, "steps=3"), tmp_path / "parts")
    state = load.load_checkpoint(str(tmp_path / "parts"), "resume")
    resumed = runs.train(tiny(*words, "steps=6"), tmp_path / "parts", state=state)
    for part in ("progress", "system", "average", "meter"):
        assert differences(whole.state_dict()[part], resumed.state_dict()[part]) == []
    free = runs.train(tiny(*words[:2], "steps=6"), tmp_path / "free")
    assert differences(whole.state_dict()["system"], free.state_dict()["system"]) != []


def test_a_checkpoint_from_before_has_no_limit_and_goes_on(tiny: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    config = tiny("model=mlp", "hooks=quiet", "steps=2")
    runs.train(config, tmp_path / "run")
    path = tmp_path / "run/checkpoints/last.pt"
    state = checkpoint.load(path)
    del state["config"]["optimizer"]["clip_norm"]
    path.unlink()
    checkpoint.save(state, path)
    state = load.load_checkpoint(str(path), "resume")
    assert runs.train({**state["config"], "steps": 3}, tmp_path / "run", state=state).settings.clips == {}


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("optimizer.clip_norm=0", "optimizer.clip_norm=0 must be a number above 0, or null"),
        ("optimizer.clip_norm=true", "optimizer.clip_norm=true must be"),
        ("++optimizer.players.generator.clip_norm=nan", "optimizer.players.generator.clip_norm=nan must be"),
    ],
)
def test_a_limit_that_means_nothing_is_refused(word: str, said: str, tiny: Callable[..., dict[str, Any]]) -> None:
    config = tiny("model=mlp", word)
    with pytest.raises(UserError, match=said):
        optimizers.build_optimizers(config, builders.build_system(config))
