"""Points from training to their scores: never rounded, drawn as one plot, counted by `scores=[modes]`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from ganrun.checkpoints import checkpoint
from ganrun.cli.main import main
from ganrun.common import images
from ganrun.data.modes import Channels
from ganrun.evaluation import mode_names, scorer
from ganrun.evaluation.features.extractor import Extractor
from ganrun.training import runs
from ganrun.training.planning.measure import POINTS, choose

RING = ("dataset=ring", "dataset.limit=400", "model=pacgan_mlp")


@pytest.fixture
def run(tiny, tmp_path: Path) -> Path:
    """A generator that gives the same point whatever its noise is: the first centre, (1, 0)."""
    config = tiny(*RING, "steps=2", "log.every=2", "hooks=default", "grids.count=16", "average.half_life=0")
    trainer = runs.assemble(config, tmp_path / "run")
    trainer.fit()
    path = tmp_path / "run" / "checkpoints" / "last.pt"
    state = checkpoint.load(path)
    for weights, prefix in ((state["average"], ""), (state["system"], "generator.")):
        (last,) = (name for name, each in weights.items() if name.startswith(prefix) and each.shape == (2,))
        weights[last.replace("bias", "weight")].zero_()
        weights[last].copy_(torch.tensor([1.0, 0.0]))
    checkpoint.save(state, path)
    return tmp_path / "run"


def test_a_run_of_points_is_scored_and_drawn(run: Path, capsys) -> None:
    out = run / "scores.json"
    assert main(["eval", f"ckpt={run}", "n=50", f"out={out}", "device=cpu", "threads=1"]) == 0
    scores = {score["score"]: score for score in json.loads(out.read_text())["results"][0]["scores"]}
    assert scores.keys() == {"modes", "high_quality", "reverse_kl"}, "of points, nothing else is computed unasked"
    assert [scores[name]["value"] for name in ("modes", "high_quality")] == [1, 1]
    assert scores["reverse_kl"]["value"] == pytest.approx(np.log(8))
    assert scores["modes"]["reference"] == 8  # of real points
    assert scores["modes"]["name"] == "modes@50"
    assert scores["modes"]["protocol"]["high_quality"] == "within 3 sigma of a mode"

    assert main(["sample", f"ckpt={run}", "n=5", f"out={run / 'x.npz'}", "device=cpu", "threads=1"]) == 0
    with np.load(run / "x.npz") as arrays:
        assert arrays["images"].dtype == np.float32
        assert np.allclose(arrays["images"][:, 0, 0], [0.8, 0.0], atol=1e-6)  # 1 / 1.25
    assert main(["sample", f"ckpt={run}", "n=5", f"out={run / 'x.png'}", "device=cpu", "threads=1"]) == 0
    assert Image.open(run / "x.png").size == (images.PLOT, images.PLOT)
    assert Image.open(run / "grids" / "step_000002.png").text["columns"] == "1"  # one cell, which `ganrun plot` can cut
    assert main(["sample", f"ckpt={run}", "n=5", f"out={run / 'x'}", "device=cpu", "threads=1"]) == 2
    assert "points are no pictures: out=x.png plots them" in capsys.readouterr().err


def test_prdc_of_very_many_reals_says_what_takes_so_long(run: Path, capsys, monkeypatch) -> None:
    monkeypatch.setattr(scorer, "MANY", 300)
    words = ["eval", f"ckpt={run}", "n=50", "device=cpu", "threads=1"]
    assert main([*words, "scores=[prdc]"]) == 0
    assert "prdc compares each of the 400 real pictures with all others: n_real=10000" in capsys.readouterr().out
    assert main([*words, "scores=[prdc]", "n_real=300"]) == 0
    assert "prdc compares" not in capsys.readouterr().out


def test_data_without_known_modes_say_which_data_have_some(tiny, tmp_path: Path, capsys) -> None:
    runs.train(tiny("model=mlp", "steps=1", "hooks=quiet"), tmp_path / "run")
    words = ["eval", f"ckpt={tmp_path / 'run'}", "scores=[modes]", "n=50", "features=random_conv", "device=cpu"]
    assert main([*words, "threads=1"]) == 2
    assert "scores=modes needs data whose modes are known: dataset=ring" in capsys.readouterr().err


def test_a_scatter_plot_has_x_to_the_right_and_y_upwards_and_outsiders_on_its_edge() -> None:
    plot = images.scatter(torch.tensor([[0.5, 0.5], [3.0, -0.5]])[:, :, None, None])
    rows, columns = (plot[0, 1:-1, 1:-2] < 100).nonzero(as_tuple=True)
    assert (rows + 1).float().mean().item() == pytest.approx(0.25 * (images.PLOT - 1), abs=1)
    assert (columns + 1).float().mean().item() == pytest.approx(0.75 * (images.PLOT - 1), abs=1)
    assert (plot[0, 1:-1, -2] < 100).any()


def test_each_channel_is_named_by_a_classifier_that_learns_from_single_digits(tmp_path, monkeypatch) -> None:
    """Its classes are here the pixel itself, so that (4, 7, 2) is mode 472."""

    class Pixel(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.unit = nn.Parameter(torch.ones(()))

        def forward(self, x):
            digit = ((x + 1) * 127.5).round().long().flatten()
            return x.flatten(1), nn.functional.one_hot(digit, 10).float()

    class Digits:
        classes = 10

        def __len__(self) -> int:
            return 1

    singles, asked = Digits(), []

    def opened(self, data, cache, device):
        asked.append(data)
        return Extractor("pixel", Pixel(), 1, named=True, about={"accuracy": 1.0})

    monkeypatch.setattr(mode_names.Default, "open", opened)
    namer = mode_names.ModeNamer(Channels(singles, 3), tmp_path, torch.device("cpu"))  # type: ignore[arg-type]
    pictures = torch.tensor([[4, 7, 2], [0, 0, 9]], dtype=torch.uint8)[:, :, None, None]
    mode, good = namer(pictures)
    assert (mode.tolist(), good) == ([472, 9], None)
    assert namer.protocol["classifier"] == "pixel"
    assert namer.protocol["accuracy"] == 1.0
    assert asked == [singles]  # once


def test_points_are_not_played_in_bf16_unless_asked_for(tiny) -> None:
    choice = choose({**tiny(*RING, "steps=1"), "precision": "auto"})
    assert choice.settings["precision"] == "fp32"
    assert choice.reasons["precision"] == POINTS
