"""Scores during a run: those of `ganrun eval`, without a trace in training; the best checkpoint is kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ganrun.checkpoints import load
from ganrun.checkpoints.checkpoint import to_builtin
from ganrun.cli import composition
from ganrun.commands import evaluate
from ganrun.evaluation.results import read
from ganrun.training import runs
from ganrun.training.hooks.best import Best, better, kind
from tests.same import differences

SCORED = ["hooks=scores", "features@hooks.scores.features=random_conv", "hooks.scores.every=0.04", "hooks.scores.n=40"]
SCORES = "hooks.scores.scores=[kid,prdc]"  # 64 features: too many for a covariance of 40 pictures


def config(tiny, *words: str) -> dict:
    return tiny("model=mlp", "steps=20", *SCORED, SCORES, *words)


@pytest.fixture
def scored(tiny, tmp_path: Path) -> Path:
    runs.train(config(tiny), tmp_path / "run")
    return tmp_path / "run"


def test_a_run_scores_itself_as_eval_would(scored: Path) -> None:
    page = composition.compose_plain("eval", [f"ckpt={scored}", "n=40", "scores=[kid,prdc]", "features=random_conv"])
    (later,) = (evaluate.of_run(page, path) for path in evaluate.checkpoints(page))
    last = read(str(scored / "scores.json"))[-1]
    assert last.about["step"] == 20
    assert last.values == pytest.approx(later.values, rel=1e-5, abs=1e-6)
    assert last.protocol == later.protocol


def test_scoring_leaves_no_trace_in_training(scored: Path, tiny, tmp_path: Path) -> None:
    alone = runs.train(tiny("model=mlp", "steps=20", "hooks=quiet"), tmp_path / "alone")
    state = load.load_checkpoint(str(scored), "ckpt")
    mine = to_builtin(alone.state_dict())
    for part in ("system", "average"):
        assert differences(state[part], mine[part]) == []


def test_scores_are_written_beside_the_losses_with_network_and_number(scored: Path) -> None:
    rows = [json.loads(line) for line in (scored / "metrics.jsonl").read_text().splitlines()]
    names = {name for row in rows for name in row if name.startswith("score/kid")}
    assert names == {"score/kid_random_conv@40"}
    assert [row["step"] for row in rows if "score/kid_random_conv@40" in row] == [5, 10, 15, 20]


def test_the_best_checkpoint_is_that_of_the_best_score(scored: Path) -> None:
    kids = {result.about["step"]: result.values["kid"] for result in read(str(scored / "scores.json"))}
    best = min(kids, key=lambda step: kids[step])
    assert json.loads((scored / "checkpoints" / "best.json").read_text())["step"] == best
    assert load.load_checkpoint(str(scored / "checkpoints" / "best.pt"), "ckpt")["progress"]["step"] == best


def test_a_resumed_run_remembers_what_was_best(tiny, tmp_path: Path) -> None:
    whole = config(tiny)
    runs.train(whole, tmp_path / "whole")
    runs.train({**whole, "steps": 10}, tmp_path / "run")
    runs.train(whole, tmp_path / "run", state=load.load_checkpoint(str(tmp_path / "run"), "resume"))
    for name in ("scores.json", "checkpoints/best.json", "metrics.jsonl"):
        one, other = ((tmp_path / run / name).read_text() for run in ("whole", "run"))
        assert one.replace(str(tmp_path / "whole"), "RUN") == other.replace(str(tmp_path / "run"), "RUN"), name


def test_some_scores_are_better_when_low_and_some_when_high(tmp_path: Path) -> None:
    assert [kind(name) for name in ("fid_mnistcnn@2k", "shares_tv_x@1", "share.3_x@1", "is@5", "isx")] == [
        "fid", "shares_tv", "", "is", "",
    ]  # fmt: skip
    assert better("fid_x@1", 1, 2)
    assert better("coverage_x@1", 2, 1)
    best = Best(tmp_path / "best.json", "coverage")
    found = [best.beaten({"fid_x@1": 9.0, "coverage_x@1": value}) for value in (0.2, 0.1, 0.3)]
    assert found == [True, False, True]
    with pytest.raises(ValueError, match=r"checkpoint\.best=fidd is none of: auto, fid"):
        Best(tmp_path, "fidd")


def test_a_damaged_file_of_scores_does_not_end_the_run(tiny, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "scores.json").write_text("{")
    trainer = runs.train(config(tiny), tmp_path / "run")
    assert trainer.step == 20
    assert "scores     not available" in caplog.text


def test_too_few_pictures_for_one_score_cost_only_that_one(tiny, tmp_path: Path, caplog) -> None:
    """64 digits, of which a covariance of 256 features cannot be had."""
    runs.train(tiny("model=mlp", "steps=10", *SCORED), tmp_path / "run")
    names = {name for result in read(str(tmp_path / "run" / "scores.json")) for name in result.values}
    assert {"kid", "precision", "coverage"} <= names
    assert "fid" not in names
    said = [line for line in caplog.messages if "no fid: a covariance of 256 features" in line]
    assert len(said) == 1, "once, not at every look"
    assert "needs more than 256 pictures, and there are 64" in said[0]
