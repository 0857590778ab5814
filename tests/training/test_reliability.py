"""A run that cannot be lost: restarts, signals, damaged files, full disks, numbers gone wrong, two writers."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from filelock import FileLock

from ganrun.checkpoints import checkpoint, load
from ganrun.checkpoints.find import newest
from ganrun.cli.main import main
from ganrun.training import runs
from ganrun.training.hooks.checkpoints import Checkpoints
from ganrun.training.hooks.hook import Hook
from ganrun.training.record import StepRecord
from ganrun.training.trainer import Trainer
from tests.same import differences

QUICK = ["dataset.limit=64", "batch_size=8", "grids.count=4", "log.every=2", "device=cpu", "model=mlp"]
QUICK += ["model.generator.widths=[8]", "model.discriminator.widths=[8]", "hooks.tensorboard=null"]
AUTO = ["train", *QUICK, "resume=auto", "out=run"]


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ganrun"])


class At(Hook):
    """Does something at a step; for tests."""

    def __init__(self, step: int, deed) -> None:
        self.step, self.deed = step, deed

    def on_step(self, trainer: Trainer, record: StepRecord) -> None:
        if trainer.step == self.step:
            self.deed(trainer)


def state_of(run: Path) -> dict:
    return checkpoint.load(run / "checkpoints/last.pt")


# -- the same command again ------------------------------------------------------------------------------------------


def test_the_same_command_starts_goes_on_and_says_when_it_is_done(tmp_path: Path, capsys) -> None:
    assert main([*AUTO, "steps=8", "checkpoint.every=4"]) == 0
    (tmp_path / "run").rename(tmp_path / "whole")
    assert main([*AUTO, "steps=4", "checkpoint.every=4"]) == 0
    assert main([*AUTO, "steps=8", "checkpoint.every=4"]) == 0
    assert differences(state_of(tmp_path / "whole"), state_of(tmp_path / "run")) == []
    metrics = [(tmp_path / name / "metrics.jsonl").read_bytes() for name in ("whole", "run")]
    assert metrics[0] == metrics[1]
    capsys.readouterr()
    assert main([*AUTO, "steps=8", "checkpoint.every=4"]) == 0
    assert "has already reached its end, step 8" in capsys.readouterr().out


def test_another_command_is_no_continuation(tmp_path: Path, capfd) -> None:
    assert main([*AUTO, "steps=4"]) == 0
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    assert main([*AUTO, "steps=8", "loss=hinge", "optimizer.lr=0.5"]) == 2
    assert "has optimizer.lr=0.0002, but this command has optimizer.lr=0.5" in capfd.readouterr().err
    assert {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ("augmentation=diffaugment", "model.augmentation=null, but this command has model.augmentation={...}"),
        ("optimizer.players.generator.lr=0.1", "optimizer.players.generator=null"),
        ("hooks.grids=null", "hooks.grids={...}, but this command has hooks.grids=null"),
    ],
)
def test_a_part_that_comes_or_goes_makes_another_run(words: str, named: str, capfd) -> None:
    assert main([*AUTO, "steps=4"]) == 0
    assert main([*AUTO, "steps=8", words]) == 2
    assert named in capfd.readouterr().err


def test_a_run_that_was_killed_before_it_saved_starts_again(tmp_path: Path) -> None:
    (tmp_path / "run/.hydra").mkdir(parents=True)
    (tmp_path / "run/metrics.jsonl").write_text('{"step": 2, "im')
    assert main([*AUTO, "steps=4"]) == 0
    assert [json.loads(line)["step"] for line in Path("run/metrics.jsonl").read_text().splitlines()] == [1, 2, 4]


def test_a_sweep_goes_on_job_by_job(tmp_path: Path) -> None:
    words = ["train", *QUICK, "resume=auto", "out=sweep", "-m", "seed=0,1"]
    assert main([*words, "steps=4"]) == 0
    assert main([*words, "steps=6"]) == 0
    assert [state_of(run)["progress"]["step"] for run in sorted(tmp_path.glob("sweep/*-mlp-*"))] == [6, 6]


# -- signals -------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="Windows has no SIGUSR1")
def test_a_wish_to_save_is_granted_and_the_run_goes_on(tiny, tmp_path: Path) -> None:
    trainer = runs.assemble(tiny("model=mlp", "steps=6", "hooks=quiet"), tmp_path)
    trainer.hooks.insert(0, At(2, lambda _: os.kill(os.getpid(), signal.SIGUSR1)))
    with runs.finishing_on_signals(trainer):
        trainer.fit()
    steps = [path.stem for path in newest(tmp_path)]
    assert (trainer.control.exit_code, steps) == (0, ["last", "step_000006", "step_000003"])


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_second_signal_does_not_wait(number: int, code: int, tiny, tmp_path: Path) -> None:
    trainer = runs.assemble(tiny("model=mlp", "steps=6", "hooks=quiet"), tmp_path)
    with runs.finishing_on_signals(trainer):
        before = signal.getsignal(number)
        os.kill(os.getpid(), number)
        assert (trainer.control.exit_code, trainer.done) == (code, True)
        assert signal.getsignal(number) is not before, "the next one finds what was there before us"


# -- checkpoints -----------------------------------------------------------------------------------------------------


def damage(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def test_a_damaged_checkpoint_is_named_and_the_one_before_it_is_used(tmp_path: Path, capfd) -> None:
    assert main(["train", *QUICK, "steps=8", "checkpoint.every=2", "out=run"]) == 0
    damage(tmp_path / "run/checkpoints/last.pt")  # and with it step_000008.pt, which is the same file
    for words in (["sample", "ckpt=run", "n=2"], ["train", "resume=run", "steps=10"]):
        assert main(words) == 0
        error = capfd.readouterr().err
        assert "last.pt is not a checkpoint of ganrun, or was cut short; taking step 6" in error
    assert state_of(tmp_path / "run")["progress"]["step"] == 10


def test_a_newer_format_is_no_damage(tmp_path: Path, monkeypatch, capfd) -> None:
    """Going on from the one before it would delete what a newer ganrun has saved."""
    assert main(["train", *QUICK, "steps=4", "checkpoint.every=2", "out=run"]) == 0
    monkeypatch.setattr(checkpoint, "FORMAT_VERSION", 99)
    checkpoint.save(state_of(tmp_path / "run") | {"format_version": 99}, tmp_path / "run/checkpoints/last.pt")
    monkeypatch.undo()
    assert main(["train", f"resume={tmp_path}/run", "steps=6"]) == 2
    assert "update ganrun" in capfd.readouterr().err
    assert (tmp_path / "run/checkpoints/step_000004.pt").exists()


def test_where_none_is_whole_the_newest_is_named(tmp_path: Path, capfd) -> None:
    assert main(["train", *QUICK, "steps=4", "checkpoint.every=2", "out=run"]) == 0
    for path in newest(tmp_path / "run"):
        damage(path)
    assert main(["sample", "ckpt=run", "n=2"]) == 2
    assert "ckpt=run/checkpoints/last.pt is not a checkpoint" in capfd.readouterr().err


def test_milestones_are_kept_for_ever(tiny, tmp_path: Path) -> None:
    runs.train(
        tiny("model=mlp", "steps=20", "checkpoint.every=2", "checkpoint.keep_kimg=0.048", "hooks=quiet"), tmp_path
    )
    steps = [int(path.stem[5:]) for path in reversed(newest(tmp_path)[1:])]
    assert steps == [6, 12, 18, 20], "48 images are 6 steps of 8"


def test_a_checkpoint_holds_the_step_it_was_made_at_however_slow_the_disk(tiny, tmp_path: Path, monkeypatch) -> None:
    """Written by a thread while the next steps change the weights."""
    config = tiny("model=mlp", "steps=6", "checkpoint.every=3", "hooks=quiet")
    written = Checkpoints.write
    late: list = []
    monkeypatch.setattr(Checkpoints, "write", lambda self, *what: late.append((self, *what)))
    runs.train(config, tmp_path / "slow")
    for hook, state, path, best in late:
        written(hook, state, path, best)
    monkeypatch.undo()
    runs.train({**config, "steps": 3}, tmp_path / "short")
    slow = checkpoint.load(tmp_path / "slow/checkpoints/step_000003.pt")
    short = checkpoint.load(tmp_path / "short/checkpoints/step_000003.pt")
    assert differences({**slow, "config": 0}, {**short, "config": 0}) == []


def test_a_full_disk_ends_the_run_in_one_line_and_loses_nothing(tmp_path: Path, monkeypatch, capfd) -> None:
    real = checkpoint.save

    def full(state, path, inside) -> None:
        if state["progress"]["step"] > 4:
            raise OSError(28, "No space left on device")
        real(state, path, inside)

    monkeypatch.setattr(checkpoint, "save", full)
    assert main(["train", *QUICK, "steps=40", "checkpoint.every=2", "out=run"]) == 1
    (line,) = [line for line in capfd.readouterr().err.splitlines() if line.startswith("ganrun:")]
    assert "cannot be written: No space left on device" in line
    assert "resume=" in line
    assert state_of(tmp_path / "run")["progress"]["step"] == 4
    status = json.loads((tmp_path / "run/status.json").read_text())
    assert (status["state"], status["step"] < 40) == ("failed", True)


def test_curves_that_cannot_be_written_cost_a_warning_not_the_run(tmp_path: Path, monkeypatch, capfd) -> None:
    from torch.utils.tensorboard import SummaryWriter

    def full(*args, **kwargs) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(SummaryWriter, "add_scalar", full)
    words = [word for word in QUICK if "tensorboard" not in word]
    assert main(["train", *words, "steps=4", "out=run"]) == 0
    assert (tmp_path / "run/train.log").read_text().count("continues without its curves") == 1


# -- numbers gone wrong ----------------------------------------------------------------------------------------------


def breaks_at(step: int, times: int = 1):
    """From that step on a weight of the generator is not a number: `times` times."""

    def poison(trainer: Trainer) -> None:
        if len(poisoned) < times:
            poisoned.append(trainer.step)
            with torch.no_grad():
                next(trainer.system.players()["generator"].parameters()).fill_(float("nan"))

    poisoned: list[int] = []
    return At(step, poison)


def test_rollback_goes_back_to_the_checkpoint_at_half_the_rate(tiny, tmp_path: Path, caplog) -> None:
    words = ["model=mlp", "steps=12", "checkpoint.every=4", "hooks=quiet", "non_finite.policy=rollback"]
    trainer = runs.assemble(tiny(*words), tmp_path)
    trainer.hooks.insert(0, breaks_at(6))
    with caplog.at_level(logging.WARNING, "ganrun"):
        runs.fit(trainer, tmp_path, {"policy": "rollback", "limit": 1})
    assert "Back to step 4, with 0.5 times the learning rates (rollback 1 of 1)" in caplog.text
    assert {o.param_groups[0]["lr"] for o in trainer.optimizers.values()} == {trainer.rates.first["generator"] / 2}
    assert state_of(tmp_path)["progress"]["setbacks"] == 1, "a resumed run keeps the lower rate"
    lines = [json.loads(line)["step"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert lines == [1, 2, 4, 6, 8, 10, 12]


def test_rollback_does_not_lead_into_a_future_that_was_given_up(tiny, tmp_path: Path) -> None:
    words = ["model=mlp", "checkpoint.every=4", "checkpoint.keep=9", "hooks=quiet"]
    runs.train(tiny(*words, "steps=12"), tmp_path)
    trainer = runs.assemble(tiny(*words, "steps=8"), tmp_path)
    trainer.load_state_dict(checkpoint.load(tmp_path / "checkpoints/step_000004.pt"))
    trainer.hooks.insert(0, breaks_at(6))
    runs.fit(trainer, tmp_path, {"policy": "rollback", "limit": 1})
    assert (trainer.step, state_of(tmp_path)["progress"]["setbacks"]) == (8, 1)


def test_what_went_wrong_first_is_what_is_said(tiny, tmp_path: Path, monkeypatch) -> None:
    """The console's start fails: the hooks after it never started, and putting them away must not hide that."""

    def full(*args) -> None:
        raise OSError(28, "No space left on device")

    trainer = runs.assemble(tiny("model=mlp", "steps=2"), tmp_path)
    monkeypatch.setattr(trainer.hooks[0], "on_start", full)
    with pytest.raises(OSError, match="No space left"):
        trainer.fit()


def test_rollback_gives_up_at_its_limit_and_without_a_checkpoint(tiny, tmp_path: Path) -> None:
    config = tiny("model=mlp", "steps=12", "checkpoint.every=4", "hooks=quiet")
    for name, step, count in (("often", 6, 9), ("early", 2, 1)):
        trainer = runs.assemble(config, tmp_path / name)
        trainer.hooks.insert(0, breaks_at(step, count))
        with pytest.raises(FloatingPointError, match="try a lower optimizer"):
            runs.fit(trainer, tmp_path / name, {"policy": "rollback", "limit": 2})
    assert state_of(tmp_path / "often")["progress"]["step"] == 4


def test_a_turn_without_finite_gradients_is_left_out(tiny, tmp_path: Path) -> None:
    trainer = runs.assemble(tiny("model=mlp", "steps=8", "hooks=quiet", "non_finite.policy=skip"), tmp_path)
    real, seen = trainer.prepare_batch, []

    def spoilt(batch):
        seen.append(real(batch))
        if trainer.step == 4:
            seen[-1]["image"][0, 0, 0, 0] = float("inf")
        return seen[-1]

    trainer.prepare_batch = spoilt
    before: dict = {}
    trainer.hooks.insert(0, At(4, lambda t: before.update(weights(t))))
    trainer.hooks.insert(1, At(5, lambda t: before.update(same=differences(only(before), weights(t)))))
    trainer.fit()
    assert before["same"] == [], "the discriminator stood still in that step"
    assert (trainer.step, trainer.guard.in_a_row) == (8, 0)


def only(before: dict) -> dict:
    return {name: value for name, value in before.items() if name != "same"}


def weights(trainer: Trainer) -> dict:
    return {n: w.detach().clone() for n, w in trainer.system.players()["discriminator"].named_parameters()}


def test_skipping_ends_when_it_does_not_help(tiny, tmp_path: Path) -> None:
    config = tiny("model=mlp", "steps=50", "hooks=quiet", "non_finite.policy=skip", "non_finite.limit=3")
    trainer = runs.assemble(config, tmp_path)
    trainer.hooks.insert(0, breaks_at(2))
    with pytest.raises(FloatingPointError, match="3 times in a row"):
        trainer.fit()


# -- two writers -----------------------------------------------------------------------------------------------------


def test_a_folder_has_one_writer_and_a_dead_one_does_not_count(tmp_path: Path, capfd) -> None:
    assert main([*AUTO, "steps=2"]) == 0
    holder = "import time, filelock; lock = filelock.FileLock('run/.lock'); lock.acquire(); print(1, flush=True); "
    other = subprocess.Popen([sys.executable, "-c", holder + "time.sleep(3600)"], stdout=subprocess.PIPE)
    other.stdout.readline()
    for words in (["train", "resume=run", "steps=4"], [*AUTO, "steps=4"]):
        assert main(words) == 2
        assert "another process is training there" in capfd.readouterr().err
    other.kill()
    other.wait()
    assert main(["train", "resume=run", "steps=4"]) == 0
    with FileLock(tmp_path / "run/.lock", timeout=0):
        pass  # and it lets go at its end


def test_a_checkpoint_saved_before_there_was_a_choice_still_goes_on(tiny, tmp_path: Path) -> None:
    config = tiny("model=mlp", "steps=4", "hooks=quiet")
    runs.train(config, tmp_path)
    state = load.load_checkpoint(str(tmp_path), "resume")
    del state["config"]["non_finite"], state["progress"]["setbacks"]
    old = {key: value for key, value in config.items() if key != "non_finite"}
    assert runs.train({**old, "steps": 6}, tmp_path, state=state).step == 6
