"""Words of other programs: each leads to a key that there is."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import pytest

from ganrun.cli.check_words import _dotted
from ganrun.cli.composition import compose
from ganrun.cli.main import main
from ganrun.config.synonyms import SYNONYMS, meant
from ganrun.config.tree import group_choices

COMPOSITIONS = (
    ("train", ()), ("train", ("model=mlp", "loss=wgan_gp")), ("train", ("loss=wgan",)), ("train", ("model=pix2pix",)),
    ("train", ("dataset=folder",)), ("train", ("dataset=mnist",)), ("sample", ()), ("eval", ()), ("apply", ()),
    ("synthesize", ()), ("augment_study", ()), ("plot", ()),
)  # fmt: skip


@lru_cache
def known() -> frozenset[str]:
    keys = {key for page, words in COMPOSITIONS for key in _dotted(compose(page, list(words), None).config)}
    return frozenset(keys | set(group_choices()))


@pytest.mark.parametrize("word", SYNONYMS)
def test_what_a_word_leads_to_exists(word: str) -> None:
    for key in SYNONYMS[word].keys:
        assert key in known() or key.startswith("optimizer.players."), key


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("train lr_d=1e-4", "lr_d: no such key; the learning rate of the discriminator is optimizer.players."),
        ("train --batch-size 3", "settings have no dashes: batch_size=VALUE"),
        ("train amp=true", "mixed precision is precision="),
        ("train imgsz=64", "the size of the pictures is dataset.image_size="),
        ("train workers=4", "dataset.workers="),
        ("train label_smoothing=0.1", "one-sided label smoothing is loss.smoothing="),
        ("train gpu=0", "the device is device="),
        ("train save_every=100", "steps between two checkpoints is checkpoint.every="),
        ("train grad_clip=1", "optimizer.clip_norm="),
        ("train model.ngf=64", "model.generator.base_channels="),
        ("train optimizer.beta1=0.5", "optimizer.betas="),
        ("train trainer.max_epochs=5", "epochs="),
        ("train n_critic=5", "loss.discriminator_steps="),
        ("train ckpt=x", "the weights to begin from is init_from="),
        ("train lambda_gp=10", "loss.penalties.gradient.weight=, there with loss=wgan_gp"),
        ("train wandb=true", "ganrun has no setting for Weights & Biases"),
        ("train scheduler=cosine", "schedule="),
        ("sample num_samples=4", "how many pictures is n="),
        ("sample checkpoint=x", "ckpt="),
        ("eval image_sizes=3", "nearest: image_size"),
    ],
)  # fmt: skip
def test_a_known_word_names_the_key_that_does_it(line: str, said: str, tmp_path: Path, monkeypatch, capfd) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(line.split()) == 2
    told = capfd.readouterr().err
    assert said in told
    assert len(told.splitlines()) == 1


def test_a_word_of_no_known_meaning_is_left_to_the_nearest_keys() -> None:
    assert meant("frobnicate", lambda key: True) is None
    assert meant("--Batch-Size", lambda key: False) is None
    assert "batch_size=" in str(meant("--BATCH", lambda key: key == "batch_size"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-m", "seed=range(0,0)"], "a sweep over nothing"),
        (["-m", "loss=glob(nothing*)"], "a sweep over nothing"),
        (["-m", "seed=range(0,3,0)"], "the step is 0"),
        (["-m", "seed=range(0,1000000000)"], "more than the 10,000 values of a sweep"),
        (["-m", "seed=shuffle(range(1000000000))"], "more than the 10,000 values of a sweep"),
        (["-m", "seed=range(0,9000)", "steps=range(1,9000)"], "the most of one sweep are 10,000"),
        (["-m", "seed="], "seed= must be a whole number"),
        (["-m", "seed=[]"], "seed=[] must be a whole number"),
    ],
)  # fmt: skip
def test_a_sweep_over_nothing_or_without_end_is_refused(
    words: list[str], said: str, tmp_path, monkeypatch, capfd
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", "model=mlp", "device=cpu", "dry_run=true", *words]) == 2
    told = capfd.readouterr().err
    assert said in told
    assert len(told.splitlines()) == 1
