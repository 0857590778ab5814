"""ganrun plot: a finished run's numbers and samples on one picture."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ganrun.cli.main import main
from ganrun.commands.plot import grid_strips, plot
from ganrun.common.images import save_grid
from ganrun.training import runs

pytest.importorskip("matplotlib")


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ganrun"])


def test_a_finished_run_gets_its_picture_and_once_more_when_asked_again(tiny, tmp_path: Path, capsys) -> None:
    runs.train(tiny("model=mlp", "steps=6", "grids.every=2", "hooks.tensorboard=null"), tmp_path / "run")
    assert main(["plot", "run=run"]) == 0
    assert main(["plot", "run=run"]) == 0
    assert capsys.readouterr().out.splitlines() == ["run/curves.png"] * 2
    with Image.open("run/curves.png") as picture:
        assert picture.size[0] > 1000
    assert main(["plot", "run=run/checkpoints/last.pt", "out=x.svg"]) == 0
    assert Path("x.svg").read_text().startswith("<?xml")
    assert main(["plot", "run=run", "out=x.svg"]) == 2


def test_a_run_that_died_without_grids_or_a_whole_last_line_is_drawn_too(tmp_path: Path, capsys) -> None:
    (tmp_path / "run").mkdir()
    row = {"step": 50, "images": 3200, "discriminator/adversarial": 1.0, "alarm/mode_collapse": 1.0}
    (tmp_path / "run/metrics.jsonl").write_text(json.dumps(row) + '\n{"step": 100, "im')
    assert main(["plot", "run=run"]) == 0
    assert "without samples" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["run=nowhere"], "nowhere does not exist"),
        (["run=."], "holds no numbers in metrics.jsonl"),
        ([], "run is needed"),
        (["run=good", "out=x.jpg"], "must be a file that ends in .png or .pdf or .svg"),
        (["run=good", "times=1"], "times=1"),
    ],
)
def test_what_cannot_be_drawn_is_said_in_one_line(words: list[str], says: str, tmp_path: Path, capsys) -> None:
    (tmp_path / "good").mkdir()
    (tmp_path / "good/metrics.jsonl").write_text('{"step": 1, "images": 8, "a/b": 1.0}\n')
    assert main(["plot", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line


def test_numbers_of_one_kind_share_a_panel_and_logits_have_none() -> None:
    names = [
        "discriminator/adversarial",
        "generator/gradient_norm",
        "discriminator/accuracy",
        "discriminator/real_logit",
    ]
    names += ["samples/diversity", "score/fid_a@1k", "score/fid_b@1k", "generator/lr", "step"]
    shown = plot.drawn([{"images": 2000, **dict.fromkeys(names, 1.0)}]).panels
    assert {panel: sorted(series) for panel, series in shown.items()} == {
        "losses": ["discriminator/adversarial"],
        "gradient norms": ["generator/gradient_norm"],
        "accuracy": ["discriminator/accuracy"],
        "samples, relative to real pictures": ["samples/diversity"],
        "score: fid": ["score/fid_a@1k", "score/fid_b@1k"],
    }
    assert shown["losses"]["discriminator/adversarial"] == [(2.0, 1.0)]


def test_the_cells_of_a_grid_are_cut_out_again(tmp_path: Path) -> None:
    pictures = torch.arange(6, dtype=torch.uint8).view(6, 1, 1, 1).expand(6, 1, 70, 65) * 40
    save_grid(pictures, tmp_path / "g/step_000007.png", columns=4)
    geometry = grid_strips.geometry(tmp_path / "g/step_000007.png")
    assert geometry is not None
    cells = list(grid_strips.cells(tmp_path / "g/step_000007.png", geometry, range(8)))
    assert [cell.shape for cell in cells] == [(70, 65, 3)] * 8
    assert [int(cell.mean()) for cell in cells] == [0, 40, 80, 120, 160, 200, 0, 0]


def test_a_strip_follows_the_same_samples_from_the_first_grid_to_the_last(tmp_path: Path) -> None:
    for step in range(1, 8):
        pictures = torch.tensor([step, 100 + step], dtype=torch.uint8).view(2, 1, 1, 1).expand(2, 1, 64, 64)
        save_grid(pictures, tmp_path / f"grids/step_{step:06d}.png", columns=2)
    strip = grid_strips.strip_of(tmp_path, samples=2, times=3)
    assert strip is not None
    assert strip.steps == [1, 4, 7]
    assert np.unique(strip.image).tolist() == [1, 4, 7, 101, 104, 107]
