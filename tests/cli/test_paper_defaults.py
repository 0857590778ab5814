"""A model may name its paper's loss and optimizer; what the user names always wins."""

from __future__ import annotations

from pathlib import Path

import pytest

from ganrun.cli.composition import compose_plain
from ganrun.cli.resolvers import run_name
from ganrun.config.tree import group_choices

LSGAN, DEFAULT = "LeastSquares", "NonSaturating"
USUAL, OF_MLP, OF_BIGGAN = [0.5, 0.999], [0.9, 0.999], [0, 0.999]


@pytest.mark.parametrize(
    ("words", "loss", "betas"),
    [
        ([], DEFAULT, USUAL),
        (["model=cyclegan"], LSGAN, USUAL),
        (["model=cut"], LSGAN, USUAL),
        (["model=fastcut"], LSGAN, USUAL),
        (["model=cyclegan", "loss=hinge"], "Hinge", USUAL),
        (["model=cyclegan", "loss=wgan_gp"], "Wasserstein", [0, 0.9]),
        (["experiment=t3_dcgan28", "model=cyclegan"], DEFAULT, USUAL),
        (["model=pix2pix"], DEFAULT, USUAL),
        (["model=mlp"], DEFAULT, OF_MLP),
        (["model=mlp", "loss=hinge"], "Hinge", OF_MLP),
        (["model=mlp", "loss=wgan_gp"], "Wasserstein", [0, 0.9]),
        (["model=mlp", "optimizer=adam"], DEFAULT, USUAL),
        (["model=mlp", "loss=wgan_gp", "optimizer=adam"], "Wasserstein", USUAL),
        (["model=wgan_gp_resnet"], "Wasserstein", [0, 0.9]),
        (["model=sngan"], "Hinge", [0, 0.9]),
        (["model=sngan", "loss=r3gan"], "RelativisticLogistic", [0, 0.99]),
        (["model=biggan", "loss=lsgan"], LSGAN, OF_BIGGAN),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, list) else value,
)
def test_precedence_is_line_then_experiment_then_paper_then_default(
    words: list[str], loss: str, betas: list[float]
) -> None:
    config = compose_plain("train", words)
    assert config["loss"]["_target_"].split(".")[-1] == loss
    assert config["optimizer"]["betas"] == betas


def test_the_residual_models_bring_the_numbers_of_their_papers() -> None:
    found = {}
    for model in ("wgan_gp_resnet", "sngan", "sagan", "biggan"):
        config = compose_plain("train", [f"model={model}", "model.size=paper"])
        discriminator = config["optimizer"]["players"].get("discriminator", {}).get("lr")
        found[model] = (config["loss"]["discriminator_steps"], config["optimizer"]["lr"], discriminator)
    assert found == {
        "wgan_gp_resnet": (5, 2e-4, None),
        "sngan": (5, 2e-4, None),
        "sagan": (1, 1e-4, 4e-4),
        "biggan": (2, 5e-5, 2e-4),
    }
    small = compose_plain("train", ["model=sngan", "model.size=small"])
    assert (small["loss"]["discriminator_steps"], small["optimizer"]["lr"]) == (1, 1e-3)
    small = compose_plain("train", ["model=r3gan", "model.size=small"])
    assert (small["loss"]["penalties"]["r1"]["every"], small["optimizer"]["lr"]) == (4, 4e-4)
    other = compose_plain("train", ["model=sngan", "model.size=small", "loss=r3gan"])
    assert (other["loss"]["penalties"]["r1"]["every"], other["optimizer"]["lr"]) == (1, 2e-4), "only its own model"
    gradient = compose_plain("train", ["model=wgan_gp_resnet", "model.size=small"])
    assert (gradient["loss"]["discriminator_steps"], gradient["optimizer"]["lr"]) == (5, 2e-4)
    half_life = config["average"]["half_life"]  # 0.9999 for each step of 64 images
    assert 0.5 ** (64 / (1000 * half_life)) == pytest.approx(0.9999, rel=1e-6)


def test_an_experiment_of_the_users_wins_over_the_loss_that_a_model_names(tmp_path: Path) -> None:
    folder = tmp_path / "experiment"
    folder.mkdir()
    text = "# @package _global_\n# Mine\ndefaults: [override /model: cyclegan, override /loss: hinge]\n"
    (folder / "mine.yaml").write_text(text.replace("[", "\n  - ").replace(", ", "\n  - ").replace("]", ""))
    config = compose_plain("train", ["experiment=mine"], tmp_path)
    assert config["loss"]["_target_"].endswith("Hinge")


@pytest.mark.parametrize(
    ("choices", "name"),
    [(("sngan", "paper/sngan"), "sngan"), (("dcgan", "paper/sngan"), "dcgan-paper_sngan"), (("a", "b"), "a-b")],
)
def test_a_run_is_one_folder_also_with_the_loss_of_a_paper(choices: tuple[str, str], name: str) -> None:
    assert run_name(*choices) == name


def test_what_models_share_is_no_model() -> None:
    choices = group_choices()
    assert "shared/gan" not in choices["model"]
    assert "model_optimizer" not in choices, "set by a model, not by the user"
