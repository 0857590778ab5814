"""Hooks run in the order of their stages, and hooks written for earlier versions still run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ganrun.common.errors import UserError
from ganrun.training import runs
from ganrun.training.hooks.hook import Hook, Stage, in_order
from ganrun.training.record import StepRecord
from ganrun.training.trainer import Trainer

QUICK = ("model=mlp", "steps=24", "log.every=4", "grids.every=6", "checkpoint.every=8")


class Rising(Hook):
    """A score that gets worse and worse, which the watchdog tells."""

    stage = Stage.MEASURE

    def on_step(self, trainer: Trainer, record: StepRecord) -> None:
        if record.step % 4 == 0:
            record.scores["fid_x@10k"] = float(record.step)


def files(folder: Path) -> dict[str, bytes]:
    """What a run leaves that is a function of config and seed."""
    paths = [*(folder / "grids").iterdir(), folder / "metrics.jsonl", folder / "status.json"]
    paths += [path for path in (folder / "checkpoints").iterdir() if path.suffix == ".json"]
    return {path.name: path.read_bytes() for path in paths} | {
        "checkpoints": " ".join(sorted(path.name for path in (folder / "checkpoints").iterdir())).encode()
    }


@pytest.mark.parametrize("order", [reversed, lambda names: sorted(names, key=lambda name: name[1:])])
def test_the_order_in_the_yaml_changes_no_file(order, tiny, tmp_path: Path) -> None:
    config = tiny(*QUICK, "hooks.tensorboard=null")
    hooks = {**config["hooks"], "rising": {"_target_": f"{__name__}.Rising"}}
    runs.train({**config, "hooks": hooks}, tmp_path / "one")
    shuffled = {name: hooks[name] for name in order(list(hooks))}
    assert list(shuffled) != list(hooks)
    runs.train({**config, "hooks": shuffled}, tmp_path / "other")
    assert files(tmp_path / "one") == files(tmp_path / "other")
    assert "alarm/score_rebounds" in (tmp_path / "one/metrics.jsonl").read_text(), "judged before it is written"
    assert json.loads((tmp_path / "one/status.json").read_text())["alarms"]


def test_every_stage_of_ours_has_its_place_and_a_users_hook_sees_everything_before_a_save(tiny, tmp_path: Path) -> None:
    config = tiny(*QUICK, "hooks=scores")
    hooks = {"own": {"_target_": f"{Hook.__module__}.Hook"}, **config["hooks"]}
    trainer = runs.assemble({**config, "hooks": hooks}, tmp_path)
    names = [type(hook).__name__ for hook in trainer.hooks]
    assert names == [
        "Profile", "Console", "Scores", "Watchdog", "MetricsFile", "Status", "Grids", "TensorBoard", "Hook",
        "Checkpoints",
    ]  # fmt: skip


def test_hooks_of_one_stage_keep_their_order() -> None:
    one, other = Hook(Path("."), {}), Hook(Path("."), {})
    assert in_order([one, other]) == [one, other]
    assert in_order([other, one]) == [other, one]


class Earlier(Hook):
    """As users wrote them before there was a record."""

    steps: list[int] = []

    def on_step(self, trainer: Trainer) -> None:  # type: ignore[override]
        self.steps.append(trainer.step)


def test_a_hook_that_takes_the_trainer_alone_still_runs(tiny, tmp_path: Path) -> None:
    Earlier.steps.clear()
    config = tiny("model=mlp", "steps=3", "hooks=quiet")
    runs.train({**config, "hooks": {"earlier": {"_target_": f"{__name__}.Earlier"}}}, tmp_path)
    assert Earlier.steps == [1, 2, 3]


@pytest.mark.parametrize(
    ("name", "place"),
    [("logged", "record.means"), ("stop", "trainer.control.stop"), ("render", "ganrun.training.rendering")],
)
def test_what_hooks_read_on_the_trainer_before_is_named_in_one_line(name: str, place: str, tiny, tmp_path) -> None:
    trainer = runs.assemble(tiny("model=mlp", "hooks=quiet"), tmp_path)
    with pytest.raises(UserError, match=place):
        getattr(trainer, name)
    assert not hasattr(trainer, name)
    assert not hasattr(trainer, "never_there")


def test_the_trainer_holds_few_things(tiny, tmp_path: Path) -> None:
    trainer = runs.assemble(tiny("model=mlp", "steps=2"), tmp_path)
    trainer.fit()
    assert len(vars(trainer)) <= 15, sorted(vars(trainer))


class Lost(Hook):
    def on_step(self) -> None: ...  # type: ignore[override]


def test_a_hook_that_takes_neither_is_refused_before_the_first_step(tiny, tmp_path: Path) -> None:
    config = tiny("model=mlp", "steps=3", "hooks=quiet")
    with pytest.raises(UserError, match=r"Lost.on_step must be on_step\(self, trainer, record\)"):
        runs.train({**config, "hooks": {"lost": {"_target_": f"{__name__}.Lost"}}}, tmp_path)
