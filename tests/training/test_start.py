"""Runs that start from the weights of another one: fine-tuning on own pairs, in one command."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from ganrun.cli.composition import compose_plain
from ganrun.common.errors import UserError
from ganrun.training import runs
from ganrun.training.planning.plan import plan

SMALL = ("model.generator.base_channels=4", "model.generator.blocks=1", "model.discriminator.base_channels=4")
QUICK = ("device=cpu", "precision=fp32", "threads=1", "batch_size=4", "hooks=quiet", "average.half_life=0")


@pytest.fixture
def general(tmp_path: Path) -> Path:
    """A run on digits, enlarged twice, with a network that no default names."""
    words = ("model=real_sr", "dataset.limit=8", "steps=2", "model.pretrain_steps=1", *SMALL, *QUICK)
    runs.train(compose_plain("train", list(words)), tmp_path / "general")
    return tmp_path / "general"


@pytest.fixture
def pairs(tmp_path: Path) -> list[str]:
    """Own pairs of another size, from which the network of the paper would follow."""
    for name, side in (("small", 32), ("large", 64)):
        (tmp_path / name).mkdir()
        for number in range(4):
            Image.new("L", (side, side), 60 * number).save(tmp_path / name / f"{number}.png")
    return ["dataset=paired", f"dataset.root_source={tmp_path / 'small'}", f"dataset.root_target={tmp_path / 'large'}"]


def fine_tuning(general: Path, pairs: list[str], *words: str) -> dict:
    return compose_plain("train", ["model=real_sr", f"init_from={general}", *pairs, "steps=1", *QUICK, *words])


def test_own_pairs_of_another_size_get_the_network_of_the_general_run(general, pairs, tmp_path: Path) -> None:
    config = fine_tuning(general, pairs, "dataset.scale=2")
    assert (config["model"]["size"], config["model"]["pretrain_steps"]) == ("small", 0)
    trained = runs.train(config, tmp_path / "tuned")
    assert trained.step == 1
    fresh = plan(fine_tuning(general, pairs, "dataset.scale=2")).remarks
    assert not [line for line in fresh if line.startswith("init_from")]


@pytest.mark.parametrize(
    ("word", "notes"),
    [
        ("model.discriminator.base_channels=2", ["discriminator"]),
        ("model.features.own.levels=2", ["features"]),
        ("model.perceptual=none", []),
    ],
)
def test_a_part_that_draws_nothing_starts_fresh_where_it_is_another(word, notes, general, pairs, tmp_path) -> None:
    config = fine_tuning(general, pairs, "dataset.scale=2", word)
    said = [line for line in plan(config).remarks if line.startswith("init_from")]
    assert said == [f"init_from: it has no {name} like this run's, so that starts fresh" for name in notes]
    runs.train({**config, "steps": 1}, tmp_path / "tuned")


def test_the_weights_that_draw_are_those_of_the_general_run(general, pairs, tmp_path: Path) -> None:
    from ganrun.checkpoints.checkpoint import load
    from ganrun.checkpoints.start import load_weights
    from ganrun.config.builders import build_system

    state = load(general / "checkpoints/last.pt")
    system = build_system(fine_tuning(general, pairs, "dataset.scale=2", "model.discriminator.base_channels=2"))
    load_weights(system, state)
    for key, tensor in system.ema_module().state_dict().items():
        assert torch.equal(tensor, state["average"][key]), key


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ([], r"model\.generator\.scale=2 there and 1 here; use dataset\.scale=2$"),
        (["dataset.scale=2", "dataset.channels=3"], r"channels=1 there and 3 here; use dataset\.channels=1$"),
        (["dataset.scale=2", "model.network=rrdb"], r"_target_=.*\.Light there and .*\.RRDB here$"),
    ],
)
def test_a_generator_of_another_kind_is_refused_by_its_settings(words, reason, general, pairs) -> None:
    with pytest.raises(UserError, match=r"^init_from: its networks differ from this run's: .*" + reason):
        plan(fine_tuning(general, pairs, *words))
