"""`ganrun keys WORD` finds a setting by its name, its comment, or another program's word."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ganrun.cli.main import main


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("lr_d", ["optimizer.players.discriminator.lr=", "a number above 0", "train, bench, doctor"]),
        ("amp", ["precision=auto", "auto | fp32 | tf32 | bf16 | bf16_all", "mixed precision is precision="]),
        ("imgsz", ["dataset.image_size=16", "a number of pixels, or [height, width]", "dataset=digits"]),
        ("ema", ["average.half_life=10", "average (EMA) of the weights, in kimg", "weights=ema", "sample, synthesize"]),
        ("label smoothing", ["loss.smoothing=0", "a number from 0 to below 1", "loss=non_saturating"]),
        ("label_smoothing", ["loss.smoothing=0"]),
        ("spectral", ["model.discriminator.norm=", "paper.discriminator_norm=batch"]),
        ("batch_size", ["batch_size=64", "pictures in one forward pass", "of all ranks together"]),
        ("batch-size=32", ["batch_size=64"]),
        (
            "gradient penalty",
            ["loss.penalties.gradient.weight=10", "loss=wgan_gp  WGAN-GP: WGAN with a gradient penalty"],
        ),
        ("per_class", ["per_class=100", "pictures of each class", "synthesize"]),
        ("loss=wgan clip", ["loss.clip=0.01", "with loss=wgan"]),
        ("loss=wgan_gp", ["loss.discriminator_steps=5", "with loss=wgan_gp"]),
        ("model=cyclegan pool", ["model.pool_size=50", "a whole number from 0 up"]),
        ("share_fakes", ["true or false", "with model=dcgan|"]),
        ("amp imgsz", ["precision=auto", "dataset.image_size="]),
        ("dropout", ["ganrun has no setting for dropout of all networks", "model.discriminator.dropout="]),
        ("", ["train: steps epochs", "loss= bcr | dragan | hinge", "bench: keys of train"]),
    ],
)
def test_a_word_finds_its_keys(line: str, told: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", *line.split()]) == 0
    out = capsys.readouterr().out
    for text in told:
        assert text in out


def test_a_key_that_depends_on_the_size_of_a_model_shows_both_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", "generator_ab.base_channels"]) == 0
    assert "model.generator_ab.base_channels=16 (model.size=small) or 64 (paper)\n" in capsys.readouterr().out


def test_a_choice_without_a_default_has_no_empty_brackets(capsys: pytest.CaptureFixture[str]) -> None:
    """optimizer=adam_ttur has a group of keys where the other optimizers have `players: {}`."""
    assert main(["keys", "lr"]) == 0
    out = capsys.readouterr().out
    assert "optimizer=adam_ttur|" in out
    assert "()" not in out


def test_a_long_list_of_choices_breaks_between_two(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", "discriminator_steps"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.endswith("|") for line in lines), "or this list is too short to break"
    assert any("|paper/stylegan2" in line.replace("      ", "|") for line in lines)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("qqqq", "keys qqqq: no key, comment or choice has this word"),
        ("batchsizes", "nearest: batchsize"),
        ("wandb", "ganrun has no setting for Weights & Biases"),
        ("loss=hinj smoothing", "loss=hinj: no such choice; nearest: hinge"),
        ("x" * 5000, "no key, comment or choice has this word"),
    ],
)
def test_what_is_not_there_is_one_line(line: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", *line.split()]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert len(err.splitlines()) == 1
    assert len(err) < 400


def test_keys_of_a_users_own_yaml_are_found_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "loss").mkdir()
    (tmp_path / "loss" / "mine.yaml").write_text("# My own loss\n_target_: my.Loss\nsteepness: 3  # how steep it is\n")
    assert main(["keys", "steep", "--config-dir", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "loss.steepness=3" in out
    assert "how steep it is" in out
    assert main(["keys", "steepness"]) == 2


def test_it_needs_neither_torch_nor_hydra() -> None:
    script = (
        "import sys; from ganrun.cli.main import main; main(['keys', 'label', 'smoothing']); "
        "sys.exit(bool({'torch', 'hydra', 'omegaconf'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True).returncode == 0


@pytest.mark.parametrize(
    ("line", "there", "not_there"),
    [
        ("train model=cyclegan", ["model.pool_size=50", "dataset.root_a=null", "is  ", "dataset=unpaired"], ["latent"]),
        (
            "train model=mlp loss=wgan",
            ["model.generator.widths=", "loss.clip=0.01", "optimizer.alpha"],
            ["cycle_weight"],
        ),
        ("train hooks=scores", ["hooks.scores.batch_size=64"], ["also useful, not listed"]),
        ("doctor model=gman", ["model.hardness=1", "keys of every doctor"], ["cycle_weight"]),
        ("train", ["also useful, not listed below", "batch_size: 64"], ["model.pool_size"]),
    ],
)
def test_help_of_a_composition_shows_its_own_keys(
    line: str, there: list[str], not_there: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*line.split(), "--help"]) == 0
    out = capsys.readouterr().out
    assert all(text in out for text in there)
    assert not any(text in out for text in not_there)


def test_help_of_a_choice_that_is_not_there_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "model=cyclgan", "--help"]) == 2
    assert "model=cyclgan: no such choice; nearest: cyclegan" in capsys.readouterr().err
