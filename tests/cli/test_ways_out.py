"""Mistakes of people in a hurry: one line names the key, the value, and words that work."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from ganrun.cli.main import main
from ganrun.cli.overrides import read_command_line
from ganrun.config import synonyms

QUICK = ["dataset.limit=16", "batch_size=4", "device=cpu", "threads=1", "precision=fp32", "model=mlp", "dry_run=true"]

SAID = {
    "train dataset.root=X": "dataset.root: no such key; there is one with dataset=celeba|cifar10|",
    "train loss.clip=3": "loss.clip: no such key; there is one with loss=wgan|wgan_gp",
    "train model.pool_size=3": "there is one with model=cyclegan",
    "train model.augmentation.sigma=3": "there is one with augmentation=instance_noise",
    "train labels=3": "labels: no such key; it is a key of ganrun sample",
    "sample ckpt=last model=dcgan": "model: no such key; it is a key of ganrun train",
    "sample ckpt=last optimizer.lr=3": "it is a key of ganrun train",
    "train lambda_gp=3": "loss.penalties.gradient.weight=, there with loss=wgan_gp",
    "train steps=100k": "steps=100k must be a whole number from 1 up, or null: write 100000",
    "train steps=1.5M": "write 1500000",
    "train batch_size=1e3": "batch_size=1e3 must be a whole number from 1 up: write 1000",
    "train seed=5.0": "seed=5.0 must be a whole number from 0 up: write 5",
    "train steps=1_000px": "steps=1_000px must be",
    "train average.half_life=10%": "write 0.1",
    "train steps=1,000": "one number has no commas: steps=1000",
    "train threads=auto": "threads=auto must be a whole number from 1 to 1024, or null: write null",
    "train out=run compile=yes": "compile=yes must be true or false: write true",
    "train compile=off": "write false",
    "train precision=bf61": "must be auto | fp32 | tf32 | bf16 | bf16_all; nearest: bf16",
    "train dataset.image_size=64px": "dataset.image_size=64px must be a number of pixels, or [height, width]: write 64",
    "train accumulate=3": "batch_size=4 is not divisible by accumulate=3: choose a multiple of 3, such as batch_size=6",
    "train optimizer.players.discrminator.lr=1e-4": "optimizer.players.discrminator: GAN has no such player",
    "train seed=[1": "seed=[1: the [ is not closed: seed=[1]",
    "train model.generator.widths=[{a:1": "the { is not closed: model.generator.widths=[{a:1}]",
    "train seed=1]": "the ] was not opened",
    "train loss=[hinge,wgan]": "a run has one loss: loss=hinge; -m loss=hinge,wgan starts a run with each",
    "train loss=hinge,wgan": "-m loss=hinge,wgan; or choose one: loss=hinge",
    "train model=DCGAN": "nearest: dcgan",
    "train loss=sngan": "loss=sngan: no such choice; nearest: paper/sngan\n",
    "train loss=xyz": "wgan, wgan_gp, paper/biggan, ",
    "train LOSS=hinge": "nearest: loss",
    "train model.generator=resnet": "another class is model.generator._target_=PACKAGE.CLASS, another model is model=",
    "train grids=3": "grids=3 must be a group of settings, such as grids.",
    "sample ckpt=last out=a,b.png": "a path with a comma in it is written \"out='a,b.png'\"",
    "sample": "ckpt is needed: ckpt=last is the newest run under outputs/",
    "synthesize ckpt=last": "out is needed: out=FOLDER",
    "plot": "run is needed: run=last",
    "train steps": "is neither a flag nor key=value without spaces",
}


@pytest.mark.parametrize("line", SAID)
def test_a_slip_gets_one_line_with_a_way_out(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    command, *words = line.split()
    given = {word.partition("=")[0] for word in words}
    quick = [word for word in QUICK if word.partition("=")[0] not in given] if command == "train" else []
    if any(word.startswith(("dataset", "model.", "loss.")) for word in words):
        quick = [word for word in quick if not word.startswith("model=")]
    assert main([command, *quick, *words]) == 2
    err = capsys.readouterr().err
    assert SAID[line] in err
    assert len(err.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_a_space_at_the_equals_sign_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "steps =3"]) == 2
    assert "no spaces around the =: steps=3" in capsys.readouterr().err


def test_the_words_for_a_path_with_a_comma_work_in_a_shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a,b", "a b,c", "a$HOME,b"):
        assert main(["train", *QUICK, f"out={name}"]) == 2
        written = re.search(r"is written (.*)\n", capsys.readouterr().err)
        assert written, name
        request = read_command_line("train", [*QUICK, *shlex.split(written[1])])
        assert next(request.configs())["out"] == name


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("old_rate=3", "old_rate: no such key; it is called optimizer.lr now"),
        ("averaging.life=3", "averaging.life: no such key; it is called average.life now"),
    ],
)
def test_a_key_of_an_earlier_version_says_its_new_name(
    word: str, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(synonyms.RENAMED, "old_rate", "optimizer.lr")
    monkeypatch.setitem(synonyms.RENAMED, "averaging", "average")
    assert main(["train", word]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["seed=1"], "this trains model=dcgan loss=non_saturating dataset=digits; the demo of `ganrun train` alone is"),
        (["loss=wgan"], "this trains model=dcgan loss=wgan dataset=digits"),
        (["model=mlp"], None),
        (["experiment=digits"], None),
    ],
)
def test_a_line_that_names_no_model_says_which_one_it_trains(
    words: list[str], said: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    quick = [word for word in QUICK if not word.startswith("model=")]
    assert main(["train", *quick, "steps=2", *words]) == 0
    err = capsys.readouterr().err
    assert said in err if said else "this trains" not in err
