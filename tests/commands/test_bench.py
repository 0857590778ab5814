"""bench: real slices of tiny runs, and figures worked out by hand."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

import pytest
import torch
from PIL import Image

from ganrun.cli.main import main
from ganrun.commands.bench import baseline, bench
from ganrun.commands.bench.bench import Slice
from ganrun.commands.bench.report import with_range
from ganrun.config import builders
from ganrun.data.folder import Folder
from ganrun.data.loading import stream
from ganrun.training import runs
from ganrun.training.length import Length

QUICK = ["dataset.limit=64", "batch_size=8", "device=cpu", "model=mlp", "log.every=2", "grids.count=4"]
QUICK += ["model.generator.widths=[8]", "model.discriminator.widths=[8]"]
BRIEF = ["bench.seconds=0.05", "bench.warmup=0", "bench.rounds=2"]


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ganrun"])
    monkeypatch.setattr(baseline, "WORKERS", 0)  # processes are the subject of one test alone


def test_a_bench_prints_what_it_measured_and_leaves_nothing_but_its_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(baseline, "WORKERS", 2)
    temporary = Path(tempfile.mkdtemp())  # a short name: the loader's processes put a socket there
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    assert main(["bench", *QUICK, *BRIEF, "out=x.json"]) == 0
    said, told = capsys.readouterr().out, json.loads((tmp_path / "x.json").read_text())
    assert [path.name for path in tmp_path.iterdir() if not path.is_dir()] == ["x.json"]
    assert not [path for path in temporary.iterdir() if not path.name.startswith("pymp-")]
    assert told["loops"].keys() == {"ganrun", "naive"}
    assert told["apart"].keys() == {"step", "data", "discriminator", "generator"}
    assert len(told["rounds"]) == 2
    assert told["device_busy"] is None
    assert told["config"]["model"]["generator"]["widths"] == [8]
    assert f"ratio       {with_range(told['ratio'])}, CPU {with_range(told['ratio_cpu'])} × the naive loop" in said
    assert main(["bench", *QUICK, *BRIEF, "out=x.json"]) == 2, "it is not overwritten unasked"


def test_without_the_naive_loop_there_is_no_ratio(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", *QUICK, *BRIEF, "bench.naive=false", "loss=wgan_gp"]) == 0
    said = capsys.readouterr().out
    assert "naive" not in said
    assert "generator" in said


def test_medians_are_of_rounds_and_ratios_are_paired_within_them() -> None:
    """Round 2 met a neighbour: everything took twice as long, and the ratio stays 3."""
    rounds = [
        {"ganrun": Slice(10, 1.0, 2.0), "bare": Slice(10, 0.75, 2.0), "naive": Slice(5, 1.5, 1.0)},
        {"ganrun": Slice(10, 2.0, 2.0), "bare": Slice(10, 1.5, 2.0), "naive": Slice(5, 3.0, 1.0)},
    ]
    found = bench.figures(rounds, batch_size=8)
    assert found["ratio"] == pytest.approx({"median": 3.0, "min": 3.0, "max": 3.0})
    assert found["frame"] == pytest.approx({"median": 0.25, "min": 0.25, "max": 0.25})
    assert found["frame_cpu"]["median"] == 0.0
    assert found["ratio_cpu"]["median"] == 1.0
    assert found["loops"]["ganrun"]["images_per_second"] == {"median": 60.0, "min": 40.0, "max": 80.0}
    assert found["loops"]["naive"]["cpu_ms_per_step"]["median"] == 200.0


def test_a_gpu_is_busy_where_at_least_one_kernel_runs() -> None:
    assert bench.covered([(5, 6), (0, 2), (1, 3), (1.5, 1.6)]) == pytest.approx(4 / 6)


def test_bare_steps_have_no_frame_and_what_was_taken_away_comes_back(tiny, tmp_path: Path) -> None:
    trainer = runs.assemble(tiny("model=mlp", "hooks=quiet"), tmp_path)
    trainer.length = Length(steps=bench.FOREVER)
    bench.run_trainer(trainer, 0.01)
    hooks, average = list(trainer.hooks), {name: tensor.clone() for name, tensor in trainer.average.copy.items()}
    weights = [weight.detach().clone() for weight in trainer.system.parameters()]
    assert bench.run_bare(trainer, None, 0.01).steps >= bench.LEAST
    assert all(torch.equal(average[name], trainer.average.copy[name]) for name in average)
    assert not any(torch.equal(old, new) for old, new in zip(weights, trainer.system.parameters(), strict=True))
    assert trainer.hooks == hooks
    assert "measure" not in vars(trainer)
    before = trainer.average.copy["layers.0.weight"].clone()
    bench.run_trainer(trainer, 0.01)
    assert not torch.equal(before, trainer.average.copy["layers.0.weight"])


@pytest.mark.parametrize("loss", ["non_saturating", "wgan_gp"])
def test_the_naive_loop_plays_the_same_game(loss: str, tiny, tmp_path: Path) -> None:
    """From the same weights, noise and pictures its first steps end where the trainer's end."""
    config = tiny("model=mlp", f"loss={loss}", "hooks=quiet", "loss.discriminator_steps=2", "steps=2")
    trainer = runs.assemble(config, tmp_path)
    slow = baseline.NaiveLoop(config, trainer.stream.data, trainer.device)
    slow.batches = (stream.prepare(trainer.stream[step], trainer.device) for step in range(2))
    for step in range(2):
        torch.manual_seed(step)
        slow.play()
        torch.manual_seed(step)
        batch = trainer.prepare_batch(trainer.stream[step])
        for turn in trainer.system.turns(step):
            trainer.play(turn, [batch])
    slow.close()
    for (name, ours), theirs in zip(trainer.system.named_parameters(), slow.system.parameters(), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-6), name


def test_a_naive_picture_is_the_prepared_one(tiny) -> None:
    data = builders.load_dataset(tiny("model=mlp"))
    item, batch = baseline.Pictures(data)[3], stream.prepare(data.take(torch.tensor([3])), torch.device("cpu"))
    assert torch.allclose(item["image"], batch["image"][0], atol=1e-6)
    assert item["label"] == batch["label"][0]


def test_pictures_of_a_folder_are_decoded_again_each_time(tmp_path: Path) -> None:
    for name, grey in (("a", 0), ("b", 255)):
        (tmp_path / "in" / name).mkdir(parents=True)
        Image.new("L", (20, 16), grey).save(tmp_path / "in" / name / "1.png")
    node = {"root": str(tmp_path / "in"), "split": None, "labelled": "auto", "labels": None, "limit": None}
    files = baseline.pictures(Folder(node["root"], image_size=8, channels=1), node)
    assert files[1]["image"].shape == (1, 8, 8)
    assert (files[1]["image"].unique().tolist(), files[1]["label"]) == ([1.0], 1)
    os.remove(tmp_path / "in/b/1.png")
    with pytest.raises(FileNotFoundError):
        files[1]


def test_the_naive_loop_fills_a_batch_with_crops_of_a_few_pictures(tiny, tmp_path: Path) -> None:
    for i in range(3):
        Image.new("RGB", (40, 30 + i), (i, 9, 9)).save(tmp_path / f"{i}.png")
    config = tiny("dataset=folder", f"dataset.root={tmp_path}", "dataset.crop=16", "model=mlp", "dataset.limit=null")
    loop = baseline.NaiveLoop(config, builders.load_dataset(config), torch.device("cpu"))
    assert next(loop.batches)["image"].shape == (8, 3, 16, 16)
    loop.close()
