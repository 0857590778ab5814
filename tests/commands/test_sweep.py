"""sweep=: each row keeps one noise and the columns walk a code, the same from the command line and from Python."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import ganrun
from ganrun.cli.main import main
from ganrun.systems.drawing import draw
from tests.trained import trained

TINY = ["steps=2", "batch_size=4", "dataset.limit=16", "hooks=quiet", "device=cpu", "threads=1", "model.latent.size=4"]
CODED = ["model=infogan", *(f"model.{part}.base_channels=2" for part in ("generator", "discriminator"))]
CODED += ["model.latent.codes=3", "model.discriminator.head_widths=[4]"]
MLP = ["model=mlp", "model.generator.widths=[8]", "model.discriminator.widths=[8]"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(("code", "place", "values"), [
    ("c1", slice(4, 7), torch.eye(3)),
    ("c2", slice(7, 8), torch.linspace(-2, 2, 10)[:, None]),
    ("c3", slice(8, 9), torch.linspace(-2, 2, 10)[:, None]),
])  # fmt: skip
def test_a_row_keeps_one_latent_and_its_columns_walk_the_code(code: str, place: slice, values: torch.Tensor) -> None:
    trained(*CODED, *TINY)
    columns = len(values)
    system = ganrun.load("run", device="cpu").system
    latents = draw(system, 2 * columns + 1, 5, sweep=code)["latent"]
    alone = draw(system, 3, 5)["latent"]  # as many as there are rows, the last one begun
    expected = alone.repeat_interleave(columns, 0)[: len(latents)]
    expected[:, place] = values.repeat(3, 1)[: len(latents)]
    assert torch.equal(latents, expected)


def test_the_grid_has_a_column_for_each_value_and_python_draws_the_same() -> None:
    trained(*CODED, *TINY)
    words = ["sample", "ckpt=run", "n=12", "sweep=c1", "device=cpu"]
    assert main([*words, "out=x.npz"]) == 0
    drawn = torch.from_numpy(np.load("x.npz")["images"]).permute(0, 3, 1, 2)
    assert torch.equal(ganrun.load("run", device="cpu").sample(12, sweep="c1", batch_size=4), drawn)
    assert main([*words, "out=x.png"]) == 0
    grid = Image.open("x.png")
    assert grid.text["sweep"] == "c1"
    assert grid.height > 1.2 * grid.width, "4 rows of 3"


@pytest.mark.parametrize(("code", "pictures"), [("c1", 21 * 3), ("c2", 6 * 10)])
def test_without_n_the_rows_are_whole(code: str, pictures: int, capsys: pytest.CaptureFixture[str]) -> None:
    trained(*CODED, *TINY)
    assert len(ganrun.load("run", device="cpu").sample(sweep=code)) == pictures
    capsys.readouterr()
    assert main(["sample", "ckpt=run", f"sweep={code}", "out=x.npz", "device=cpu"]) == 0
    assert len(np.load("x.npz")["images"]) == pictures
    assert f"{pictures} samples of" in capsys.readouterr().out
    assert main(["sample", "--help"]) == 0
    assert "sweep=c1" in capsys.readouterr().out


def test_grids_have_a_row_for_each_code() -> None:
    trained(*CODED, *TINY)
    assert main(["sample", "ckpt=run", "n=24", "out=x.png", "device=cpu"]) == 0
    grid = Image.open("x.png")
    assert grid.width > 2 * grid.height, "3 codes, 8 of each"


@pytest.mark.parametrize(("words", "asked", "reason"), [
    (CODED, ["sweep=c4"], "sweep=c4: the codes of this model are c1, c2, c3"),
    (CODED, ["sweep=c1", "labels=[2]"], "labels=[2] and sweep=c1: a sweep chooses the codes itself"),
    (MLP, ["sweep=c1"], "sweep=c1: GAN has no codes to sweep, model=infogan has"),
])  # fmt: skip
def test_a_sweep_that_is_no_use_is_refused_in_one_line(
    words: list[str], asked: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    trained(*words, *TINY)
    capsys.readouterr()
    assert main(["sample", "ckpt=run", "n=2", *asked, "device=cpu"]) == 2
    said = capsys.readouterr().err
    assert reason in said
    assert len(said.splitlines()) == 1
