"""A model may name its paper's loss and optimizer; what the user names always wins."""

from __future__ import annotations

from pathlib import Path

import pytest

from ganrun.cli.composition import compose_plain
from ganrun.config.tree import group_choices

LSGAN, DEFAULT = "LeastSquares", "NonSaturating"
USUAL, OF_MLP = [0.5, 0.999], [0.9, 0.999]


@pytest.mark.parametrize(
    ("words", "loss", "betas"),
    [
        ([], DEFAULT, USUAL),
        (["model=cyclegan"], LSGAN, USUAL),
        (["model=cyclegan", "loss=hinge"], "Hinge", USUAL),
        (["model=cyclegan", "loss=wgan_gp"], "Wasserstein", [0, 0.9]),
        (["experiment=t3_dcgan28", "model=cyclegan"], DEFAULT, USUAL),
        (["model=pix2pix"], DEFAULT, USUAL),
        (["model=mlp"], DEFAULT, OF_MLP),
        (["model=mlp", "loss=hinge"], "Hinge", OF_MLP),
        (["model=mlp", "loss=wgan_gp"], "Wasserstein", [0, 0.9]),
        (["model=mlp", "optimizer=adam"], DEFAULT, USUAL),
        (["model=mlp", "loss=wgan_gp", "optimizer=adam"], "Wasserstein", USUAL),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, list) else value,
)
def test_precedence_is_line_then_experiment_then_paper_then_default(
    words: list[str], loss: str, betas: list[float]
) -> None:
    config = compose_plain("train", words)
    assert config["loss"]["_target_"].split(".")[-1] == loss
    assert config["optimizer"]["betas"] == betas


def test_an_experiment_of_the_users_wins_over_the_loss_that_a_model_names(tmp_path: Path) -> None:
    folder = tmp_path / "experiment"
    folder.mkdir()
    text = "# @package _global_\n# Mine\ndefaults: [override /model: cyclegan, override /loss: hinge]\n"
    (folder / "mine.yaml").write_text(text.replace("[", "\n  - ").replace(", ", "\n  - ").replace("]", ""))
    config = compose_plain("train", ["experiment=mine"], tmp_path)
    assert config["loss"]["_target_"].endswith("Hinge")


def test_what_models_share_is_no_model() -> None:
    choices = group_choices()
    assert "shared/gan" not in choices["model"]
    assert "model_optimizer" not in choices, "set by a model, not by the user"
