"""Scores and grids of runs whose pictures have an answer: held out, with a row for each picture, and the best kept."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from ganrun.checkpoints import load
from ganrun.cli.main import main
from ganrun.common.errors import UserError
from ganrun.config.builders import build_system, load_dataset
from ganrun.data.dataset import chosen
from ganrun.evaluation.paired_scores import PairedScorer
from ganrun.evaluation.reals import data_of
from ganrun.evaluation.results import read
from ganrun.training import runs
from ganrun.training.hooks.grids import Grids
from ganrun.training.hooks.scores import Scores
from ganrun.training.planning.plan import build_hooks, plan

RESTORED = ["model=restoration", "steps=4", "dataset.split=train", "hooks.tensorboard=null"]
SCORED = [*RESTORED, "hooks=scores", "hooks.scores.every=0.016", "hooks.scores.n=40"]


@pytest.fixture
def scored(tiny, tmp_path: Path) -> Path:
    runs.train(tiny(*SCORED, "checkpoint.best=l1"), tmp_path / "run")
    return tmp_path / "run"


def test_a_run_scores_held_out_pairs_as_eval_would_beside_their_inputs(scored: Path, monkeypatch) -> None:
    monkeypatch.chdir(scored)
    assert main(["eval", f"ckpt={scored}", "n=40", "out=e.json", "device=cpu"]) == 0
    mine, theirs = read(str(scored / "scores.json"))[-1], read("e.json")[0]
    assert mine.values == pytest.approx(theirs.values, rel=1e-6)
    assert mine.values.keys() == {"psnr", "ssim", "l1"}
    assert mine.protocol == theirs.protocol
    assert (mine.protocol["real_split"], mine.protocol["border"]) == ("test", 0)
    assert mine.gains["psnr"].mean == pytest.approx(mine.values["psnr"] - mine.references["psnr"], abs=1e-6)
    assert mine.halves == pytest.approx(theirs.halves, rel=1e-5)
    assert "± " in mine.lines()[0]
    assert "gain +" in mine.lines()[0]
    assert (scored / "results.csv").read_text() == (scored / "e.pictures.csv").read_text()
    with (scored / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["picture", "psnr", "ssim", "l1", "input_psnr", "input_ssim", "input_l1"]
    numbers = [int(row["picture"]) for row in rows]
    assert numbers == chosen(899, 40).tolist(), "not the first 40: a sorted folder begins with one class"
    assert sum(float(row["l1"]) for row in rows) / 40 == pytest.approx(mine.values["l1"], rel=1e-4)


def test_the_best_checkpoint_is_that_of_the_named_score_and_low_is_good_for_a_distance(scored: Path) -> None:
    found = {result.about["step"]: result.values["l1"] for result in read(str(scored / "scores.json"))}
    assert list(found) == [2, 4]
    best = json.loads((scored / "checkpoints/best.json").read_text())
    assert (best["score"], best["step"]) == ("l1@40", min(found, key=lambda step: found[step]))
    assert load.load_checkpoint(str(scored / "checkpoints/best.pt"), "ckpt")["progress"]["step"] == best["step"]


def test_a_best_score_that_is_not_computed_is_told(tiny, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    runs.train(tiny(*SCORED, "checkpoint.best=psnr_y"), tmp_path / "run")
    (said,) = [line for line in caplog.messages if "checkpoint.best" in line]
    assert said == "scores     no best.pt: checkpoint.best=psnr_y, but the scores are psnr, ssim, l1"
    assert not (tmp_path / "run/checkpoints/best.pt").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["model=cyclegan", "hooks.scores.scores=[psnr_y]"], "hooks.scores.scores=psnr_y: its data are unpaired"),
        (["model=mlp", "hooks.scores.scores=[psnr_y]"], "hooks.scores.scores=psnr_y needs pictures that have a target"),
        (["model=restoration", "hooks.scores.scores=[fid]"], "hooks.scores.scores=fid is not a score of pictures with"),
        (
            ["model=restoration", "hooks.scores.scores=[lpips]"],
            "hooks.scores.scores=lpips needs its files: give lpips.",
        ),
        (["model=restoration", "hooks.scores.border=8"], "hooks.scores.border=8 leaves nothing of a picture of 16×16"),
        (["model=restoration", "hooks.scores.lpips.weights=[a,b]"], "hooks.scores.lpips.weights: a: there is no such"),
    ],
)
def test_scores_that_a_run_cannot_have_are_refused_before_it_starts(tiny, words: list[str], said: str) -> None:
    config = tiny("hooks=scores", *words)
    system, data = build_system(config), load_dataset(config)
    (hook,) = [hook for hook in build_hooks(config, Path(".")) if isinstance(hook, Scores)]
    with pytest.raises(UserError) as raised:
        hook.refuse(system, data)
    assert str(raised.value).startswith(said)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("words", "border"), [([], 2), (["dataset.damages.low_res.factor=4"], 4), (["dataset.damage=noise"], 0)]
)
def test_the_border_is_the_scale_of_the_data(tiny, words: list[str], border: int) -> None:
    data = load_dataset(tiny("model=srgan", *words))
    scorer = PairedScorer({"scores": None, "n": 4, "seed": 0}, data, {}, torch.device("cpu"))
    assert scorer.protocol["border"] == border
    assert scorer.protocol.get("enlarged") == ("bicubic, a = -0.5" if border else None)


def test_a_plan_asks_the_hooks(tiny) -> None:
    with pytest.raises(UserError, match=r"hooks\.scores\.scores=fidd is unknown"):
        plan(tiny("hooks=scores", "model=mlp", "hooks.scores.scores=[fidd]"))


# -- held-out pictures ----------------------------------------------------------------------------------------------


def test_a_grid_has_as_many_cells_as_asked_whatever_the_batch_and_shows_the_test_split(tiny, tmp_path: Path) -> None:
    config = tiny(*RESTORED, "batch_size=4", "steps=1", "grids.count=40")
    trainer = runs.train(config, tmp_path / "run")
    with Image.open(tmp_path / "run/grids/step_000001.png") as picture:
        assert (picture.text["columns"], picture.text["rows"]) == ("4", "10")
        assert picture.size == (4 * (3 * 64 + 2) + 2, 10 * (64 + 12 + 2) + 2)
    (hook,) = [hook for hook in trainer.hooks if isinstance(hook, Grids)]
    test, learnt, _ = data_of({"root": None, "split": None, "trust": ["ganrun"]}, {"config": config})
    assert learnt is not None
    shown = (hook.examples["target"] + 1) * 127.5
    assert torch.equal(shown.round().to(torch.uint8), test.take(chosen(len(test), 40))["target"])


def test_pictures_of_the_training_split_are_said_to_be_so(tiny, tmp_path: Path, caplog) -> None:
    caplog.set_level("INFO", "ganrun")
    words = ["model=restoration", "steps=1", "hooks.tensorboard=null", "batch_size=4", "grids.count=40"]
    runs.train(tiny(*words), tmp_path / "run")
    assert any("grids      show pictures that the run learns from" in line for line in caplog.messages)


def test_grids_of_two_domains_show_eight_panels_and_are_the_same_after_a_resume(tiny, tmp_path: Path) -> None:
    config = tiny("model=cyclegan", "steps=2", "batch_size=4", "test_share=0.25", "hooks.tensorboard=null")
    runs.train(config, tmp_path / "whole")
    runs.train({**config, "steps": 1}, tmp_path / "run")
    runs.train(config, tmp_path / "run", state=load.load_checkpoint(str(tmp_path / "run"), "resume"))
    one, other = ((tmp_path / run / "grids/step_000002.png").read_bytes() for run in ("whole", "run"))
    assert one == other
    with Image.open(tmp_path / "whole/grids/step_000002.png") as picture:
        assert picture.width == 1 * (8 * 64 + 2) + 2


@pytest.mark.parametrize("model", ["cyclegan", "restoration", "mlp"])
def test_a_share_is_held_out_of_training_and_scored(tiny, model: str) -> None:
    """No picture is in both parts; the share and the rest are all there is."""
    config = tiny(f"model={model}", "test_share=0.25")
    kept = load_dataset(config)
    held, learnt, origin = data_of({"root": None, "split": None, "trust": ["ganrun"]}, {"config": config})
    assert (len(kept), len(held)) == (48, 16)
    assert learnt is not None
    assert origin["real_split"] == "a share of 0.25 that was held out"
    for name in kept.take(torch.tensor([0])).keys() - {"label"}:
        ours, theirs, again = ({row.numpy().tobytes() for row in data.take(torch.arange(len(data)))[name]}
                               for data in (kept, held, learnt))  # fmt: skip
        assert ours == again
        assert not ours & theirs
        assert len(ours | theirs) == 64


def test_a_share_leaves_something_to_learn_from(tiny) -> None:
    with pytest.raises(UserError, match=r"test_share=0\.999 leaves none of 64 to learn from"):
        plan(tiny("model=restoration", "test_share=0.999"))
