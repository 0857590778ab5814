"""What a kill, a full disk or a vanished folder leaves behind, and that the next start copes with it."""

from __future__ import annotations

import copy
import json
import sys
import tempfile
import time
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ganrun.checkpoints import load
from ganrun.cli.main import main
from ganrun.commands import synthesize
from ganrun.common import folders
from ganrun.common.atomic import atomic_write
from ganrun.common.errors import UserError
from ganrun.training import runs
from ganrun.training.hooks.hook import Hook
from tests.training.test_reliability import AUTO, At


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ganrun"])


def test_a_resumed_run_has_the_bytes_of_one_that_was_not_disturbed(tiny, tmp_path: Path) -> None:
    config = tiny("model=mlp", "steps=6", "hooks=quiet")
    runs.train(config, tmp_path / "whole")
    runs.train({**config, "steps": 3}, tmp_path / "run")
    runs.train(config, tmp_path / "run", state=load.load_checkpoint(str(tmp_path / "run"), "resume"))
    whole, resumed = ((tmp_path / name / "checkpoints/last.pt").read_bytes() for name in ("whole", "run"))
    assert whole == resumed


class Killed(BaseException):
    pass


def kill(_) -> None:
    raise Killed


def test_curves_of_a_run_that_was_killed_before_it_saved_have_no_doubled_points(tiny, tmp_path: Path) -> None:
    config = tiny("model=mlp", "steps=6", "grids.count=4")
    trainer = runs.assemble(config, tmp_path)
    trainer.hooks.append(At(4, kill))
    with pytest.raises(Killed):
        trainer.fit()
    time.sleep(1.1)  # TensorBoard reads event files in the order of their names, which tell the second
    runs.train(config, tmp_path)
    events = EventAccumulator(str(tmp_path)).Reload()
    assert [event.step for event in events.Scalars("generator/gradient_norm")] == [1, 2, 4, 6]


def test_a_probe_that_a_kill_left_behind_is_nobody_elses(tmp_path: Path) -> None:
    tempfile.mkdtemp(dir=tmp_path, prefix=folders.PROBE)
    folders.check_run_folder(tmp_path, "auto")
    folders.check_run_folder(tmp_path, None)
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(UserError, match="holds other files and no run"):
        folders.check_run_folder(tmp_path, "auto")


def test_a_run_that_was_killed_after_its_last_checkpoint_is_told_to_be_finished(tmp_path: Path) -> None:
    assert main([*AUTO, "steps=2"]) == 0
    runs.write_status(tmp_path / "run", "running", 1)
    assert main([*AUTO, "steps=2"]) == 0
    assert json.loads((tmp_path / "run/status.json").read_text()) == {"state": "finished", "step": 2, "reason": None}


@pytest.mark.parametrize("also", ["hooks=quiet", "grids.every=5"])
def test_a_run_whose_folder_is_renamed_says_so_and_does_not_bring_half_of_it_back(also, tiny, tmp_path: Path) -> None:
    run = tmp_path / "run"
    config = tiny("model=mlp", "steps=20", "checkpoint.every=5", "log.every=50", also)
    config["hooks"]["away"] = {"_target_": f"{__name__}.Mover"}
    with pytest.raises(OSError, match="run was removed or renamed during the run"):
        runs.train(config, run)
    assert not run.exists()
    assert (tmp_path / "away/status.json").exists()


class Mover(Hook):
    """Somebody who tidies up."""

    def on_step(self, trainer, record) -> None:
        if trainer.step == 2:
            self.folder.rename(self.folder.with_name("away"))


def test_what_cannot_be_written_whole_leaves_the_old_file_alone(tmp_path: Path) -> None:
    def full(write) -> None:
        write("0/000000.png", b"half a picture")
        raise OSError(28, "No space left on device")

    old = tmp_path / "x.zip"
    old.write_bytes(b"old")
    with pytest.raises(OSError, match="No space"):
        synthesize.with_writer(old, full)
    with pytest.raises(OSError, match="No space"), atomic_write(old) as file:
        full(lambda name, content: file.write(content))
    assert (old.read_bytes(), [path.name for path in tmp_path.iterdir()]) == (b"old", ["x.zip"])


def test_a_run_of_before_the_cap_on_channels_and_packs_goes_on_without_them(tiny, tmp_path: Path) -> None:
    def older(node):
        if not isinstance(node, dict):
            return node
        return {key: older(value) for key, value in node.items() if key not in ("max_channels", "pack")}

    now = tiny("model=dcgan", "steps=4", "hooks=quiet", "dataset.limit=16")
    assert now["model"]["generator"]["max_channels"] == 512
    before = older(now)
    runs.train({**before, "steps": 2}, tmp_path / "run")
    state = load.load_checkpoint(str(tmp_path / "run"), "resume")
    stored = state["config"]  # a run lets the state go that it goes on from
    agreed = runs.continued_if_same({**stored, "steps": 4}, now, tmp_path / "run")
    assert "max_channels" not in agreed["model"]["generator"]
    assert runs.train(agreed, tmp_path / "run", state=state).step == 4
    now["model"]["discriminator"]["pack"] = 2
    with pytest.raises(UserError, match=r"has model\.discriminator\.pack=null, but this command"):
        runs.continued_if_same(stored, now, tmp_path)
    now["model"]["generator"]["base_channels"] = 8
    with pytest.raises(UserError, match=r"has model\.generator\.base_channels=4, but this command has"):
        runs.continued_if_same(stored, now, tmp_path)


def test_a_run_of_infogan_of_before_the_hidden_layer_of_q_goes_on_without_it(tiny, tmp_path: Path) -> None:
    now = tiny("model=infogan", "steps=4", "hooks=quiet", "dataset.limit=16")
    now["model"]["discriminator"]["head_widths"] = [128]
    before = copy.deepcopy(now)
    del before["model"]["discriminator"]["head_widths"]
    runs.train({**before, "steps": 2}, tmp_path / "run")
    state = load.load_checkpoint(str(tmp_path / "run"), "resume")
    stored = state["config"]  # a run lets the state go that it goes on from
    agreed = runs.continued_if_same(stored, now, tmp_path / "run")
    assert "head_widths" not in agreed["model"]["discriminator"]
    assert runs.train(agreed, tmp_path / "run", state=state).step == 4
    now["model"]["discriminator"]["head_widths"] = [256]
    with pytest.raises(UserError, match=r"has model\.discriminator\.head_widths=null, but this command"):
        runs.continued_if_same(stored, now, tmp_path)
