"""Every yaml in conf/ is composed and built, and every model plays every loss."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from ganrun import compose, runs
from ganrun.build import build, resolve
from ganrun.data.dataset import Dataset
from ganrun.hooks.hook import Hook
from ganrun.losses.loss import AdversarialLoss
from ganrun.pages import conf_folder, description, group_choices
from ganrun.schedules import Schedule
from ganrun.systems.system import System
from tests.same import differences

CHOICES = group_choices()
MODELS, LOSSES = sorted(CHOICES["model"]), sorted(CHOICES["loss"])
YAMLS = sorted(conf_folder().rglob("*.yaml"))


@pytest.mark.parametrize("path", YAMLS, ids=lambda path: str(path.relative_to(conf_folder())))
def test_every_yaml_says_what_it_is_in_one_line(path: Path) -> None:
    assert 10 < len(description(path)) <= 160


@pytest.mark.parametrize("group", sorted(CHOICES))
def test_every_choice_of_every_group_composes(group: str, tmp_path: Path) -> None:
    pictures(tmp_path)
    for choice in CHOICES[group]:
        root = [f"dataset.root={tmp_path}"] if choice in ("folder", "t6_faces") else []
        config = compose.compose_plain("train", [f"{group}={choice}", *root])
        compose.check("train", config)


@pytest.mark.parametrize("choice", sorted(CHOICES["model"]))
def test_every_model_builds(choice: str) -> None:
    config = compose.compose_plain("train", [f"model={choice}"])
    with torch.device("meta"):
        assert isinstance(runs.build_system(config), System)


@pytest.mark.parametrize("choice", sorted(CHOICES["loss"]))
def test_every_loss_builds(choice: str) -> None:
    config = compose.compose_plain("train", [f"loss={choice}"])
    assert isinstance(build(config["loss"], AdversarialLoss, "loss"), AdversarialLoss)


@pytest.mark.parametrize("choice", sorted(CHOICES["optimizer"]))
def test_every_optimizer_builds_for_each_player(choice: str) -> None:
    config = compose.compose_plain("train", [f"optimizer={choice}", "model=mlp"])
    optimizers, schedules = runs.build_optimizers(config, runs.build_system(config))
    assert optimizers.keys() == schedules.keys() == {"generator", "discriminator"}


@pytest.mark.parametrize("choice", sorted(CHOICES["schedule"]))
def test_every_schedule_builds_and_starts_at_the_full_rate(choice: str) -> None:
    config = compose.compose_plain("train", [f"schedule={choice}"])
    assert build(config["optimizer"]["schedule"], Schedule, "schedule").factor(0.0) == 1.0


@pytest.mark.parametrize("choice", sorted(CHOICES["hooks"]))
def test_every_set_of_hooks_builds(choice: str, tmp_path: Path) -> None:
    config = compose.compose_plain("train", [f"hooks={choice}"])
    for name, node in config["hooks"].items():
        assert isinstance(build(node, Hook, f"hooks.{name}", folder=tmp_path, config=config), Hook)


@pytest.mark.parametrize("choice", sorted(CHOICES["dataset"]))
def test_every_data_set_names_a_class_and_its_facts(choice: str, tmp_path: Path) -> None:
    pictures(tmp_path)
    config = compose.compose_plain(
        "train", [f"dataset={choice}", *([f"dataset.root={tmp_path}"] if choice == "folder" else [])]
    )
    resolve(config["dataset"], Dataset, "dataset")
    assert {"channels", "image_size", "classes", "kimg", "limit", "flip"} <= config["dataset"].keys()


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("model", MODELS)
def test_every_model_plays_every_loss(model: str, loss: str, tiny, tmp_path: Path) -> None:
    """Every module learns, only the turn's player moves, and a resumed run equals an unbroken one bit for bit."""
    config = tiny(f"model={model}", f"loss={loss}", "steps=12", "hooks=quiet", "checkpoint.every=6")
    whole = runs.assemble(config, tmp_path / "whole")
    before = {name: clone(module) for name, module in whole.system.players().items()}
    watch_that_a_turn_moves_only_its_player(whole)
    whole.fit()
    for name, module in whole.system.players().items():
        moved = [not torch.equal(old, new) for old, new in zip(before[name], module.parameters(), strict=True)]
        assert any(moved), f"{name} did not learn"
        assert all(torch.isfinite(weight).all() for weight in module.parameters())

    runs.train({**config, "steps": 6}, tmp_path / "parts")
    state = runs.load_checkpoint(str(tmp_path / "parts"), "resume")
    resumed = runs.train(config, tmp_path / "parts", state=state)
    assert differences(plain(whole), plain(resumed)) == []


def watch_that_a_turn_moves_only_its_player(trainer) -> None:
    play = trainer.play

    def watched(turn, batch) -> None:
        others = {n: clone(m) for n, m in trainer.system.players().items() if n != turn.player}
        gradients = {n: [w.grad for w in trainer.system.players()[n].parameters()] for n in others}
        play(turn, batch)
        for name, weights in others.items():
            now = list(trainer.system.players()[name].parameters())
            assert all(torch.equal(a, b) for a, b in zip(weights, now, strict=True)), f"{turn.player} moved {name}"
            untouched = all(w.grad is g for w, g in zip(now, gradients[name], strict=True))
            assert untouched, f"{turn.player}'s turn computed gradients of {name}"

    trainer.play = watched


def clone(module: torch.nn.Module) -> list[torch.Tensor]:
    return [weight.detach().clone() for weight in module.parameters()]


def plain(trainer) -> dict:
    from ganrun.checkpoint import plain as as_plain

    return as_plain(trainer.state_dict())


def pictures(folder: Path) -> None:
    from PIL import Image

    for number in range(2):
        Image.new("RGB", (64, 64), (number, 2, 3)).save(folder / f"{number}.png")


@pytest.mark.parametrize("loss", LOSSES)
def test_no_step_waits_for_the_device(loss: str, tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two logs nothing reads a tensor: on a GPU each reading would stall it."""
    trainer = runs.assemble(tiny("model=mlp", f"loss={loss}", "steps=12", "log.every=100"), tmp_path)
    trainer.step = 1  # step 1 logs
    trainer.hooks = [hook for hook in trainer.hooks if type(hook).__name__ in ("Console", "MetricsFile", "Status")]
    readings: list[str] = []
    for name in ("item", "tolist", "__float__", "__bool__", "__int__", "cpu", "numpy"):
        real = getattr(torch.Tensor, name)

        def counted(self, *args, _name=name, _real=real, **kwargs):
            # torch's own bookkeeping reads CPU counters inside its optimizers; ours may read nothing
            frame = sys._getframe(1)
            if "/ganrun/" in frame.f_code.co_filename:
                readings.append(f"{_name} in {frame.f_code.co_name}")
            return _real(self, *args, **kwargs)

        monkeypatch.setattr(torch.Tensor, name, counted)
    trainer.fit()
    assert trainer.step == 12
    assert readings == []
