"""Settings against the type hints of the parameters that they go to: kinds, ranges, and what a message says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import torch
from torch import nn

from ganrun.cli.composition import compose_plain
from ganrun.common.bounds import (
    OF_TORCH,
    At,
    Count,
    Decay,
    Pixels,
    Positive,
    Setting,
    Share,
    Unfit,
    Weight,
    fitted,
    shown,
)
from ganrun.common.errors import UserError
from ganrun.config.build import build
from ganrun.config.schema import check
from ganrun.training.hooks.grids import EARLY, Grids
from ganrun.training.length import length_of
from ganrun.training.planning.estimates import count_grids

NAN, INF = float("nan"), float("inf")
REFUSED: list[tuple[Any, Any, str]] = [
    (True, Setting, "must be a whole number from 1 up"),  # True is an int for Python
    (1.5, Setting, "must be a whole number from 1 up"),
    (0, Setting, "must be a whole number from 1 up"),
    ("many", Setting, "must be a whole number from 1 up"),
    (2**20 + 1, Setting, "must be a whole number from 1 to 1048576"),
    (10**400, Count, "must be a whole number from 1 to 18446744073709551615"),
    (NAN, Weight, "must be a number from 0 up"),
    (INF, Weight, "must be a number from 0 to 3.4e+38"),
    (1e300, float, "must be a number from -3.4e+38 to 3.4e+38"),
    (10**20, Weight, "must be a number from 0 to 18446744073709551615"),
    (True, float, "must be a number"),
    (1.1, Share, "must be a number from 0 to 1"),
    (1, Decay, "must be a number from 0 to below 1"),
    (1, Annotated[float, At(above=0, below=1)], "must be a number between 0 and 1, without the ends"),
    (0, Positive | None, "must be a number above 0, or null"),
    (0, Annotated[int | None, At(1)], "must be a whole number from 1 up, or null"),  # of each member of the union
    ("maybe", bool, "must be true or false"),
    (1, bool, "must be true or false"),
    (None, bool, "must be true or false"),
    (1.5, str, "must be text"),
    (True, str, "must be text"),
    ("x", Literal["auto"] | bool, "must be auto, or true or false"),
    ([1], tuple[Share, Share], "must be a list of 2, each a number from 0 to 1"),
    ([8, 0], Sequence[Pixels], "must be a list [...], each a whole number from 1 up"),
    (8, Sequence[Pixels], "must be a list [...], each a whole number from 1 up"),
    (3, nn.Module, "must be a Module with its _target_"),
    (3, Mapping[str, nn.Module], "must be a group, each in it a Module with its _target_"),
    ([1, NAN], Any, "must hold numbers from"),
    ({"a": 1e300}, None, "must hold numbers from"),
]


@pytest.mark.parametrize(("value", "hint", "said"), REFUSED)
def test_another_kind_or_size_is_refused_in_words(value: Any, hint: Any, said: str) -> None:
    with pytest.raises(Unfit) as refused:
        fitted(value, hint)
    assert str(refused.value).startswith(said)


@pytest.mark.parametrize(
    ("value", "hint", "becomes"),
    [
        (3, Setting, 3), (2, float, 2), (None, Positive | None, None), (3, str | None, "3"),
        ("auto", int | str, "auto"),
        ([1, 2], Sequence[Pixels], [1, 2]), ([0, 0.9], tuple[float, float], (0.0, 0.9)), ("x", None, "x"),
        ({"a": "lower"}, Mapping[str, str] | None, {"a": "lower"}), (True, bool | Literal["auto"], True),
    ],
)  # fmt: skip
def test_what_fits_stays_and_torch_gets_its_tuples(value: Any, hint: Any, becomes: Any) -> None:
    assert fitted(value, hint) == becomes
    assert type(fitted(value, hint)) is type(becomes)


def test_a_long_value_is_cut_and_one_too_long_for_python_is_named() -> None:
    assert len(shown("x" * 5000)) < 100
    assert shown(10**5000) == "a number of thousands of digits"
    assert (shown(None), shown(True)) == ("null", "true")


def test_torchs_optimizers_have_ranges_too() -> None:
    weights = [torch.zeros(1, requires_grad=True)]
    for settings, said in (
        ({"betas": [0.5, 1]}, "o.betas=[0.5, 1] must be a list of 2, each a number from 0 to below 1"),
        ({"lr": 0}, "o.lr=0 must be a number above 0"),
        ({"eps": -1}, "o.eps=-1 must be a number from 0 to 1"),
        ({"amsgrad": "maybe"}, "o.amsgrad=maybe must be true or false"),
    ):
        with pytest.raises(UserError) as refused:
            build({"_target_": "torch.optim.Adam", **settings}, torch.optim.Optimizer, "o", params=weights)
        assert str(refused.value) == said
    assert {"lr", "betas", "eps", "weight_decay"} <= OF_TORCH.keys()


def test_the_setting_itself_is_named_before_what_was_computed_from_it() -> None:
    node = {
        "_target_": "ganrun.networks.conditional.ConditionalGenerator",
        "network": {"_target_": "ganrun.networks.dcgan.DCGANGenerator", "latent_size": "maybe"},
        "classes": 10,
        "embedding_size": "maybe",
    }
    with pytest.raises(UserError, match=r"g\.embedding_size=maybe must be"):
        build(node, nn.Module, "g")


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("loss.discriminator_steps=1.5", "loss.discriminator_steps=1.5 must be a whole number from 1 up"),
        ("dataset.flip=maybe", "dataset.flip=maybe must be true or false"),
        ("dataset.limit=true", "dataset.limit=true must be a whole number from 1 up, or null"),
        ("dataset.kimg=-1", "dataset.kimg=-1 must be a number above 0"),
        ("hooks.grids.every=0", "hooks.grids.every=0 must be a whole number from 1 up"),
        ("optimizer.betas=[1]", "optimizer.betas=[1] must be a list of 2"),
        ("optimizer.players.generator.betas=[0,x]", "optimizer.players.generator.betas=[0, 'x'] must be a list of 2"),
        ("dataset.image_size=[8,8,8]", "dataset.image_size=[8, 8, 8] must be"),
        ("dataset.image_size=16384", "dataset.image_size=[16384, 16384]: 1797 images need"),
        ("model.share_fakes=1", "model.share_fakes=1 must be true or false"),
        ("model.latent.size=true", "model.latent.size=true must be a whole number"),
        ("model=null", "model=null: no such choice"),
        ("model.generator=7", "model.generator=7 must be a group of settings, such as model.generator."),
        ("grids=3", "grids=3 must be a group of settings"),
        ("grids=null", "hooks.grids.every"),
        ("optimizer.players=3", "optimizer.players=3 must be a group of settings"),
        ("optimizer.players.generator=3", "optimizer.players.generator=3 must be a group of settings"),
        ("threads=999999", "threads=999999 must be a whole number from 1 to 1024, or null"),
        ("graphs=1", "graphs=1 must be auto | true | false"),
        ("out=true", "out=true must be a path"),
        ("out=''", "out= must be a path"),
        ("kimg=1e300", "kimg=1e300 must be a number above 0 and up to 3.4e+38, or null"),
        ("kimg=1e18", "kimg=1e+18 would be more than 9007199254740992 steps of batch_size=64"),
        ("epochs=1e19", "epochs=1e+19 would be more than 9007199254740992 steps"),
        (
            "steps=99999999999999999",
            "steps=99999999999999999 must be a whole number from 1 to 9007199254740992, or null",
        ),
        ("seed=99999999999999999999", "seed=99999999999999999999 must be a whole number from 0 to"),
        ("model.generator.widths={a:1}", "model.generator.widths={'a': 1} must be a list"),
        ("model.latent={a:1}", "model.latent.a: no such key"),
        ("seed=${x}", "seed: ${x} names a key that is not there"),
        ("seed=[1", "seed=[1: the [ is not closed: seed=[1]"),
        (
            "augmentation=diffaugment model.augmentation.policies.cutout.fraction=2",
            "fraction=2 must be a number from 0 to",
        ),
    ],
)
def test_a_value_that_means_nothing_is_refused_by_its_key(
    word: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from ganrun.cli.main import main

    monkeypatch.chdir(tmp_path)
    assert main(["train", "model=mlp", "device=cpu", *word.split(" "), "dry_run=true"]) == 2
    told = capfd.readouterr().err
    assert said in told
    assert len(told.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_the_longest_run_is_planned_at_once() -> None:
    config = compose_plain("train", ["kimg=1e14", "dataset.limit=64"])
    check("train", config)
    length = length_of(config, [0] * 64)  # type: ignore[arg-type]
    assert length.steps == round(1e17 / 64)
    assert count_grids(Grids(Path(), {}), length.steps) > 10**12
    for every, steps in ((7, 50), (50, 50), (50, 51), (1, 3), (500, 501), (3, 1)):
        counted = {steps, *(step for step in EARLY if step < steps), *range(every, steps, every)}
        assert count_grids(Grids(Path(), {}, every), steps) == len(counted)
