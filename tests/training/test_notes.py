"""What the plan says of parts that go together oddly; parts that go together well need no word."""

from __future__ import annotations

import pytest

from ganrun.cli.main import main
from ganrun.config.build import FROM_A_FILE
from ganrun.training.planning.plan import plan


def notes(tiny, *words: str) -> list[str]:
    return [line.removeprefix("note        ") for line in plan(tiny(*words)).lines() if line.startswith("note")]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["model=vae", "loss=hinge"], "a VAE has no discriminator: loss= and its penalties have no effect"),
        (
            ["loss=wgan", "optimizer=adam"],
            "the WGAN paper advises against momentum for clipped weights, and Adam has 0.5",
        ),
        (["loss=wgan", "optimizer=sgd", "optimizer.momentum=0.9"], "and SGD has 0.9: use optimizer=paper/wgan"),
        (["loss=wgan", "optimizer.momentum=0.9"], "and RMSprop has 0.9"),
        (["model=gman", "loss=wgan", "optimizer=adam"], "the WGAN paper advises against momentum"),
        (["loss=wgan", "loss.clip=null"], "loss.clip=null without penalties: nothing bounds the discriminator"),
        (
            ["loss=wgan", "steps=4"],
            "the generator never moves in 4 steps: loss.discriminator_steps=5, so its first step is 5",
        ),
        (["loss=wgan", "steps=1"], "the generator never moves in 1 step: loss.discriminator_steps=5"),
        (
            ["model=restoration", "model.adversarial_weight=0"],
            "model.adversarial_weight=0: the generator has no adversarial term",
        ),
        (
            ["model=srgan", "steps=2"],
            "the whole run of 2 steps is pretraining on the content loss (model.pretrain_steps=2): loss= has no effect",
        ),
        (
            ["model=real_sr"],
            "the sources are clean means of 2×2 pixels; for photographs from the wild train with dataset=damaged "
            "dataset.damage=real_world dataset.damages.real_world.factor=2",
        ),
        (["hooks=quiet", "checkpoint.best=fid"], "checkpoint.best=fid has no effect: this run computes no scores"),
        (
            ["checkpoint.best=fid"],
            "checkpoint.best=fid has no effect: this run computes no scores; hooks=scores computes",
        ),
        (["hooks=quiet", "grids.every=7"], "grids.every=7 has no effect: this run has no hook that reads it"),
        (["hooks=quiet", "watchdog.action=stop"], "watchdog.action=stop has no effect"),
        (["~hooks.profile", "profile=5"], "profile=5 has no effect"),
        (["graphs=true"], "graphs=true has no effect: only CUDA can record steps, and this run is on cpu"),
        (["model=vae", "compile=true"], "compile=true has no effect: VAE has no network"),
        (["model=fewshot"], "model=fewshot is made for few pictures, with augmentation=diffaugment or ada"),
        (["average.half_life=0"], "average.half_life=0: no weights are averaged"),
        (["ranks.batchnorm=synchronised"], "ranks.batchnorm=synchronised has no effect"),
        (["dataset.flip=true"], "dataset.flip=true mirrors digits"),
        (["model=restoration", "dataset.flip=true"], "dataset.flip=true mirrors digits"),
        (["model=cyclegan", "dataset.flip=true"], "dataset.flip=true mirrors digits"),
        (["model=pix2pix", "dataset=paired", "dataset.flip=true"], "dataset.flip=true mirrors digits"),
    ],
    ids=lambda part: " ".join(part) if isinstance(part, list) else "",
)
def test_a_choice_without_effect_or_against_the_paper_is_said(words: list[str], said: str, tiny) -> None:
    assert [note for note in notes(tiny, "grids.count=64", *words) if said in note] != []


@pytest.mark.parametrize(
    "words",
    [
        [], ["loss=wgan", "steps=10"], ["loss=wgan_gp", "steps=10"], ["loss=wgan_gp", "optimizer=adam", "steps=10"],
        ["model=mlp", "loss=hinge"], ["hooks=scores", "checkpoint.best=fid"], ["grids.every=7", "watchdog.action=stop"],
        ["hooks=quiet", "grids.count=64"], ["compile=true"], ["profile=5"], ["model=restoration"],
        ["model=real_sr", "dataset=damaged", "dataset.damage=real_world"], ["model=srgan", "model.pretrain_steps=1"],
        ["loss=wgan", "optimizer=adam_ttur", "steps=10"], ["model=fewshot", "augmentation=diffaugment"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_parts_that_go_together_need_no_word(words: list[str], tiny) -> None:
    assert notes(tiny, *words) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["model=vae", "augmentation=diffaugment"], "VAE has no such setting: leave augmentation= out, or use model="),
        (
            ["model=cyclegan", "augmentation=ada"],
            "CycleGAN has no such setting: leave augmentation= out, or use model=",
        ),
        (["model=cgan", "dataset=unpaired"], "classes=0: a conditional model needs labelled data"),
        (["loss=wgan_gp", "model.discriminator.norm=batch"], "BatchNorm in the discriminator mixes"),
        (["model=gman", "+model.feature_matching=1"], "model.feature_matching: GMAN has no such setting"),
    ],
)
def test_what_cannot_be_played_is_refused(words: list[str], said: str, capsys) -> None:
    assert main(["train", *words, "dry_run=true", "steps=1", "device=cpu"]) == 2
    assert said in capsys.readouterr().err


def test_a_strangers_config_commands_no_terminal(tiny) -> None:
    config = tiny("hooks=quiet", "steps=10")
    config["checkpoint"]["best"] = "\x1b[31m"
    config["grids"] = {"every": "\x1b[2J", "\x1b[1m": 3}
    said = "".join(plan(config, trust=FROM_A_FILE).lines())
    assert "checkpoint.best=\\x1b[31m has no effect" in said
    assert "\x1b" not in said
    plan({**config, "checkpoint": "x", "grids": 3, "ranks": []}, trust=FROM_A_FILE)
