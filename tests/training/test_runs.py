"""runs: from a checked config to a trainer."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ganrun.common import device
from ganrun.common.errors import UserError
from ganrun.config import builders
from ganrun.training import length, runs
from ganrun.training import optimizers as optimizers_


@pytest.mark.parametrize(
    ("words", "steps"),
    [(["steps=7"], 7), (["epochs=2"], 16), (["kimg=0.08"], 10), ([], 12500), (["epochs=0.001"], 1)],
)
def test_a_length_becomes_steps(words: list[str], steps: int, tiny) -> None:
    config = tiny(*words)  # 64 images, batch 8, and digits suggest 100 kimg
    assert length.length_of(config, builders.load_dataset(config)).steps == steps


def test_the_seed_alone_decides_the_first_weights(tiny) -> None:
    torch.manual_seed(99)
    a, b, c = (builders.build_system(tiny(f"seed={seed}")).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not all(torch.equal(a[name], c[name]) for name in a)


def test_one_player_may_have_a_rate_and_a_schedule_of_its_own(tiny) -> None:
    config = tiny("optimizer.lr=0.5")
    config["optimizer"]["players"] = {
        "generator": {"lr": 0.25, "schedule": {"_target_": "ganrun.common.schedules.Linear"}}
    }
    optimizers, schedules = optimizers_.build_optimizers(config, builders.build_system(config))
    rates = {name: optimizer.param_groups[0]["lr"] for name, optimizer in optimizers.items()}
    assert rates == {"generator": 0.25, "discriminator": 0.5}
    assert [schedules[name].factor(1.0) for name in ("generator", "discriminator")] == [0.0, 1.0]


def test_whole_numbers_in_betas_are_accepted(tiny) -> None:
    config = tiny()
    config["optimizer"]["betas"] = [0, 0.9]
    optimizers, _ = optimizers_.build_optimizers(config, builders.build_system(config))
    assert optimizers["generator"].param_groups[0]["betas"] == (0.0, 0.9)


def test_small_images_get_one_thread_and_a_wish_is_a_wish(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(device, "ALL_THREADS", 2)
    seen = []
    monkeypatch.setattr(torch, "set_num_threads", seen.append)
    device.set_threads(None, 32 * 32)
    device.set_threads(None, 64 * 64)
    device.set_threads(3, 16)
    assert seen == [1, 2, 3]


@pytest.mark.parametrize(("asked", "stored", "used"), [(3, 1, 3), (None, 1, 1), (None, 16, 4), (None, None, None)])
def test_drawing_takes_as_many_threads_as_the_run_had(asked, stored, used, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "ALL_THREADS", 4)
    assert device.threads_for(asked, {"config": {"threads": stored}}) == used


def test_weights_of_other_networks_are_refused_by_name(tiny, tmp_path) -> None:
    runs.train(tiny("model=mlp", "steps=1", "hooks=quiet"), tmp_path / "mlp")
    config = tiny("model=dcgan", "steps=1", "hooks=quiet", f"init_from={tmp_path / 'mlp'}")
    with pytest.raises(UserError, match="init_from: its networks differ from this run's"):
        runs.train(config, tmp_path / "dcgan")


def test_the_place_of_the_data_may_change_also_behind_damage() -> None:
    asked = {**dict.fromkeys(runs.LENGTHS), "threads": None, "device": "auto", "precision": "fp32"}
    clean = {"_target_": "ganrun.data.folder.Folder", "root": "old", "labels": "old.csv"}
    stored = {**asked, "dataset": {"_target_": "ganrun.data.damaged.Damaged", "root": "old", "clean": clean}}
    there = {"_target_": "x", "root": "new", "flip": True}
    config = runs.continued(stored, {**asked, "dataset": there})
    assert config["dataset"] == {**stored["dataset"], "root": "new", "clean": {**clean, "root": "new"}}
    again = {**stored["dataset"], "root": "new", "clean": {**clean, "root": "new"}}
    assert runs.continued_if_same(stored, {**asked, "dataset": again}, Path("run"))["dataset"] == again
    with pytest.raises(UserError, match=r"dataset\.root_a=new: the data of this run, Damaged, have no root_a"):
        runs.continued(stored, {**asked, "dataset": {"root_a": "new"}})
