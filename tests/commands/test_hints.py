"""The lines at the end of a run, typed into a shell as they are printed."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

from ganrun.cli.grammar import parse_overrides
from ganrun.cli.main import main
from ganrun.commands.train.hints import hints
from ganrun.common.quoting import quoted, quoted_path, shell_word

QUICK = ["model=mlp", "dataset.limit=8", "batch_size=4", "grids.count=4", "device=cpu", "steps=1", "hooks=quiet"]
SMALL = ["model.generator.widths=[2]", "model.discriminator.widths=[2]"]
NAMES = [
    "run", "two words", "数据　集", "it's", 'say "so"', "epoch=3", "a[1]", "[1]", "a{b}", "x(1)", "a,b", "a, b", "007",
    "true", "null", "1e3", "-x", "~x", "a\\b", "a\\", "a'\\", "#x", "$HOME", "a:b", "!x", "*", "é", "'q'", '"q"',
]  # fmt: skip


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ganrun"])


@pytest.mark.parametrize("name", NAMES)
def test_a_path_comes_back_from_shell_and_hydra_as_it_was(name: str) -> None:
    (word,) = shlex.split(shell_word("ckpt", name))
    key, _, value = word.partition("=")
    (override,) = parse_overrides([f"{key}={quoted_path(value)}"])
    assert override.value() == name
    (override,) = parse_overrides([f"ckpt={quoted(name)}"])
    assert override.value() == name


@pytest.mark.parametrize("name", ["数据", "é", "~/data", "a#b", "it's", "a\\b", "x(1)", "007"])
def test_a_path_needs_no_quotes_for_hydra(name: str) -> None:
    (override,) = parse_overrides([f"ckpt={quoted_path(name)}"])
    assert override.value() == name


def command(said: str, of: str) -> list[str]:
    """The words of the last hint, as a shell would take them apart."""
    line = [line for line in said.splitlines() if line.startswith(of)][-1]
    program, *words = shlex.split(line.removeprefix(of))
    assert program == "ganrun"
    return words


@pytest.mark.parametrize("name", ["two words", "数据　集", "it's a=b [1] (2), {c}", "-x"])
def test_what_is_printed_draws_pictures(name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["train", *QUICK, *SMALL, f"out={quoted(f'./{name}')}"]) == 0
    words = command(capsys.readouterr().out, "draw more")
    assert main([*words, "n=1", "device=cpu"]) == 0
    assert (tmp_path / name / "samples.png").exists()


def test_a_class_of_ones_own_is_trusted_and_found_by_what_is_printed(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "my configs"
    (place / "model").mkdir(parents=True)
    (place / "own_networks.py").write_text(
        "from ganrun.networks.mlp import MLPGenerator\n\n\nclass Mine(MLPGenerator):\n    pass\n"
    )
    (place / "model/own.yaml").write_text(
        "defaults: [mlp, _self_]\ngenerator:\n  _target_: own_networks.Mine\n", encoding="utf-8"
    )
    monkeypatch.setattr(sys, "path", [*sys.path])
    words = ["train", "model=own", *QUICK[1:], *SMALL, "--config-dir", "my configs"]
    assert main([*words, "out=run"]) == 0
    words = command(capsys.readouterr().out, "draw more")
    assert words == ["sample", "ckpt=run", "trust=own_networks", "--config-dir", "my configs"]
    sys.path[:] = [folder for folder in sys.path if "my configs" not in folder]
    sys.modules.pop("own_networks")
    assert main([*words, "n=1", "device=cpu"]) == 0
    assert main(["sample", "ckpt=run", "n=1", "device=cpu"]) == 2, "the hint's other words are needed"


def test_a_run_that_saved_nothing_is_not_drawn_from(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", *QUICK, *SMALL, "hooks.checkpoints=null", "out=run"]) == 0
    said = capsys.readouterr().out
    assert "nothing was saved: none of its hooks saves checkpoints; hooks=default and hooks=quiet do" in said
    assert "ganrun sample" not in said


def test_a_translator_is_applied_and_a_grid_is_looked_at(tmp_path: Path) -> None:
    (tmp_path / "a b/grids").mkdir(parents=True)
    (tmp_path / "a b/grids/step_000003.png").touch()
    (tmp_path / "a b/last.pt").touch()
    config = {"model": {"_target_": "mine.Model", "x": [{"_target_": "yours.Layer"}, {"_target_": "torch.nn.ReLU"}]}}
    look, apply = hints(tmp_path / "a b", config, 3, True, Path("/etc/x"))
    assert look == "look at    'a b/grids/step_000003.png'"
    assert apply == (
        "apply it   ganrun apply 'ckpt=a b' input=PICTURES out=FOLDER 'trust=[mine,yours]' --config-dir /etc/x"
    )
