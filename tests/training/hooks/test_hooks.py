"""Hooks: what they leave in the run's folder."""

from __future__ import annotations

import json
from pathlib import Path

from ganrun.checkpoints import checkpoint, load
from ganrun.checkpoints.find import step_of
from ganrun.training import runs
from ganrun.training.hooks.checkpoints import Checkpoints
from ganrun.training.hooks.console import clock, headline
from ganrun.training.hooks.grids import EARLY


def train(tiny, folder: Path, *words: str):
    return runs.train(tiny("model=mlp", *words), folder)


def test_grids_are_dense_early_then_every_n_and_at_the_end(tiny, tmp_path: Path) -> None:
    train(tiny, tmp_path, "steps=130", "grids.every=60", "hooks.tensorboard=null")
    steps = sorted(int(path.stem.split("_")[1]) for path in (tmp_path / "grids").glob("step_*.png"))
    assert steps == [1, 50, 60, 100, 120, 130]
    assert EARLY == (1, 50, 100, 200)


def test_the_last_few_checkpoints_are_kept_and_last_is_the_newest(tiny, tmp_path: Path) -> None:
    train(tiny, tmp_path, "steps=10", "checkpoint.every=2", "checkpoint.keep=3", "hooks=quiet")
    names = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert names == ["last.pt", "step_000006.pt", "step_000008.pt", "step_000010.pt"]
    assert checkpoint.load(tmp_path / "checkpoints/last.pt")["progress"]["step"] == 10


def test_the_checkpoint_holds_the_whole_resolved_config(tiny, tmp_path: Path) -> None:
    config = tiny("model=mlp", "steps=1", "hooks=quiet")
    runs.train(config, tmp_path)
    assert checkpoint.load(tmp_path / "checkpoints/last.pt")["config"] == config
    assert "${" not in json.dumps(config)


def test_lines_after_the_checkpoint_are_written_again_not_twice(tiny, tmp_path: Path) -> None:
    """Killed at step 7 with the last checkpoint at 4: metrics.jsonl holds lines up to 6 and half of one."""
    config = tiny("model=mlp", "steps=8", "hooks=quiet")
    runs.train({**config, "steps": 4}, tmp_path / "run")
    with open(tmp_path / "run/metrics.jsonl", "a") as file:
        file.write('{"step": 6, "images": 48}\n{"step": 8, "ima')
    runs.train(config, tmp_path / "run", state=load.load_checkpoint(str(tmp_path / "run"), "resume"))
    runs.train(config, tmp_path / "whole")
    assert (tmp_path / "run/metrics.jsonl").read_bytes() == (tmp_path / "whole/metrics.jsonl").read_bytes()


def test_a_failed_run_says_so_in_its_status(tiny, tmp_path: Path) -> None:
    config = tiny("model=mlp", "steps=50", "optimizer=sgd", "optimizer.lr=1e38", "loss=wgan_gp", "hooks=quiet")
    config["optimizer"]["lr"] = 1e38
    try:
        runs.train(config, tmp_path)
    except FloatingPointError as error:
        reason = str(error)
    status = json.loads((tmp_path / "status.json").read_text())
    assert status["state"] == "failed"
    assert status["reason"] == reason
    assert "try a lower optimizer.lr" in reason


def test_the_console_shows_each_players_first_term_and_the_accuracy() -> None:
    logged = {
        "discriminator/adversarial": 0.5,
        "discriminator/gradient": 9.0,
        "discriminator/accuracy": 0.7,
        "generator/adversarial": 1.0,
    }
    assert headline(logged) == {"discriminator": 0.5, "accuracy": 0.7, "generator": 1.0}
    assert [clock(s) for s in (5, 65, 3725)] == ["0:05", "1:05", "1:02:05"]


def test_checkpoints_are_counted_by_step_not_by_name(tmp_path: Path) -> None:
    hook = Checkpoints(tmp_path, {}, keep=2)
    (tmp_path / "checkpoints").mkdir()
    for step in (999_998, 1_000_004, 999_996):
        (tmp_path / "checkpoints" / f"step_{step:06d}.pt").touch()
    assert [step_of(path) for path in hook.numbered()] == [999_996, 999_998, 1_000_004]
