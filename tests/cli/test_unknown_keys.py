"""Yaml of a user's own folder: it works with and without a package line, or one line says where it must go."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ganrun.cli.composition import compose_plain
from ganrun.cli.main import main
from ganrun.common.errors import UserError
from ganrun.config import synonyms

NOISE = "_target_: ganrun.augmentations.instance_noise.InstanceNoise\nsigma: 0.3\n"
LINEAR = "_target_: ganrun.common.schedules.Linear\nstart: 0.5\n"
GLOBAL = "# @package _global_\n"


def indented(text: str, *owners: str) -> str:
    for owner in reversed(owners):
        text = f"{owner}:\n" + "".join(f"  {line}\n" for line in text.splitlines())
    return text


def composed(folder: Path, group: str, text: str, *words: str) -> dict:
    (folder / group).mkdir(parents=True, exist_ok=True)
    (folder / group / "mine.yaml").write_text(text)
    return compose_plain("train", [f"{group}=mine", *words], folder)


@pytest.mark.parametrize(
    "text",
    [
        NOISE,
        indented(NOISE, "model", "augmentation"),
        GLOBAL + indented(NOISE, "model", "augmentation"),
        GLOBAL + indented(NOISE, "augmentation"),
        "# @package model.augmentation\n" + NOISE,
    ],
    ids=["bare", "nested", "global", "global_group", "package"],
)
def test_an_augmentation_reaches_the_model_however_its_yaml_is_written(text: str, tmp_path: Path) -> None:
    config = composed(tmp_path, "augmentation", text)
    assert config["model"]["augmentation"]["sigma"] == 0.3
    assert "augmentation" not in config


@pytest.mark.parametrize("text", [LINEAR, "# @package optimizer.schedule\n" + LINEAR], ids=["bare", "package"])
def test_a_schedule_reaches_the_optimizer_too(text: str, tmp_path: Path) -> None:
    config = composed(tmp_path, "schedule", text)
    assert config["optimizer"]["schedule"]["start"] == 0.5
    assert config["optimizer"]["lr"] == 2e-4


def test_a_bare_augmentation_is_played(tmp_path: Path, monkeypatch, capsys) -> None:
    """Its settings are keys of the command line, and the run that follows has it."""
    (tmp_path / "mine" / "augmentation").mkdir(parents=True)
    (tmp_path / "mine" / "augmentation" / "mine.yaml").write_text(NOISE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ganrun"])
    small = ["model=mlp", "model.generator.widths=[8]", "model.discriminator.widths=[8]", "dataset.limit=32"]
    small += ["steps=1", "batch_size=8", "hooks=quiet", "out=run", "device=cpu"]
    wrong = ["augmentation=mine", "augmentation.sigma=-1", "--config-dir", "mine"]
    assert main(["train", *small, *wrong]) == 2
    assert "model.augmentation.sigma=-1 must be" in capsys.readouterr().err
    assert main(["train", *small, "augmentation=mine", "augmentation.sigma=0.2", "--config-dir", "mine"]) == 0
    from ganrun.checkpoints.load import load_checkpoint

    stored = load_checkpoint("run", "ckpt")["config"]
    assert stored["model"]["augmentation"]["sigma"] == 0.2
    assert "augmentation" not in stored


@pytest.mark.parametrize(
    ("group", "text", "said"),
    [
        ("experiment", "batch_size: 3\n", "experiment: nothing reads this key.* first line .*# @package _global_"),
        ("experiment", GLOBAL + "batchsize: 3\n", "batchsize: nothing reads this key.*nearest: batch_size"),
        ("experiment", GLOBAL + "grids: {evry: 3}\n", r"grids\.evry: nothing reads this key.*nearest: every"),
        ("loss", GLOBAL + "_target_: ganrun.losses.adversarial.Hinge\n", "_target_: nothing reads this key"),
        ("loss", "loss: {_target_: ganrun.losses.adversarial.Hinge}\n", "loss: its yaml holds loss: once more"),
        ("model", "model: {_target_: x.Y}\n", "model: its yaml holds model: once more"),
        ("hooks", "hooks: {}\n", "hooks: its yaml holds hooks: once more"),
        ("optimizer", GLOBAL + "lr: 1\n", "^lr: nothing reads this key"),
    ],
)
def test_what_nothing_reads_is_refused_by_name(group: str, text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=said):
        composed(tmp_path, group, text)


def test_a_key_with_a_plus_sign_must_be_read_too() -> None:
    with pytest.raises(UserError, match=r"grids\.evry: nothing reads this key"):
        compose_plain("train", ["+grids.evry=3"])


def test_a_key_that_another_one_refers_to_is_read(tmp_path: Path) -> None:
    config = composed(tmp_path, "experiment", GLOBAL + "width: 16\nmodel: {generator: {base_channels: '${width}'}}\n")
    assert config["model"]["generator"]["base_channels"] == 16


def test_a_key_that_another_one_refers_to_from_its_own_place_is_read(tmp_path: Path) -> None:
    text = GLOBAL + "grids: {step: 7, every: '${.step}'}\nbase: {width: 4}\n"
    text += "model: {generator: {base_channels: '${times:2,${base.width}}'}}\n"
    config = composed(tmp_path, "experiment", text)
    assert config["grids"]["every"] == 7
    assert config["model"]["generator"]["base_channels"] == 8


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("base_channels: 16\n", "^base_channels: nothing reads this key"),  # dcgan's ${.base_channels} is another one
        ("grids: {size: 3}\n", r"^grids\.size: nothing reads this key"),  # as is ${..latent.size}
        ("times: 3\n", "^times: nothing reads this key"),  # a function's name is no key
    ],
)
def test_a_key_is_not_read_because_another_of_its_name_is(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=said):
        composed(tmp_path, "experiment", GLOBAL + text)


@pytest.mark.parametrize(("group", "value"), [("augmentation", "3"), ("augmentation", "[1]"), ("schedule", "cosine")])
def test_an_augmentation_that_is_no_group_is_refused(group: str, value: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"{group}=.* must be a group of settings with its _target_, or null"):
        composed(tmp_path, "experiment", GLOBAL + f"{group}: {value}\n")


def test_a_key_of_an_earlier_version_in_a_yaml_says_its_new_name(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(synonyms.RENAMED, "old_rate", "optimizer.lr")
    with pytest.raises(UserError, match=r"^old_rate: nothing reads this key.*; it is called optimizer\.lr now"):
        composed(tmp_path, "experiment", GLOBAL + "old_rate: 3\n")
