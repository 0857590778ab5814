"""Classes are found by the names that their modules had in earlier versions."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from ganrun.cli.main import main
from ganrun.common.errors import UserError
from ganrun.config.build import build, resolve
from ganrun.config.moved import MOVED, current_name, with_current_names
from ganrun.training.hooks.hook import Hook


@pytest.mark.parametrize("earlier", MOVED)
def test_an_earlier_name_is_the_same_module(earlier: str) -> None:
    assert importlib.import_module(earlier) is importlib.import_module(MOVED[earlier])
    assert importlib.import_module(earlier).__spec__.name == MOVED[earlier]


def test_a_file_of_a_moved_folder_is_not_loaded_twice() -> None:
    for name in [name for name in sys.modules if name.startswith("ganrun.hooks")]:
        del sys.modules[name]
    assert importlib.import_module("ganrun.hooks.hook").Hook is Hook


def test_the_longest_name_wins_and_others_stay() -> None:
    assert current_name("ganrun.hooks.grids.Grids") == "ganrun.training.hooks.grids.Grids"
    assert current_name("ganrun.hookshop.Grids") == "ganrun.hookshop.Grids"
    assert current_name("torch.nn.ReLU") == "torch.nn.ReLU"
    old = {"a": [{"_target_": "ganrun.schedules.Linear"}], "note": "ganrun.schedules.Linear"}
    assert with_current_names(old) == {"a": [{"_target_": "ganrun.common.schedules.Linear"}], "note": old["note"]}


def test_a_checkpoint_may_name_a_moved_class_but_nothing_else(tmp_path: Path) -> None:
    assert resolve({"_target_": "ganrun.hooks.grids.Grids"}, Hook, "hooks.grids", ("ganrun",)).__name__ == "Grids"
    with pytest.raises(UserError, match="comes from a file"):
        resolve({"_target_": "mine.hooks.grids.Grids"}, Hook, "hooks.grids", ("ganrun",))


def test_a_name_that_is_gone_is_refused_by_its_name_of_today() -> None:
    with pytest.raises(UserError, match=r"_target_=ganrun\.training\.hooks\.grids\.Grid: .* has no Grid.*Grids"):
        build({"_target_": "ganrun.hooks.grids.Grid"}, Hook, "hooks.grids")


def test_a_users_class_may_import_an_earlier_name(tmp_path: Path, monkeypatch, capsys) -> None:
    (tmp_path / "my_hook.py").write_text(
        "from ganrun.hooks.hook import Hook\n"
        "class Say(Hook):\n"
        "    def on_end(self, trainer):\n"
        "        print('played', trainer.step)\n"
    )
    (tmp_path / "hooks").mkdir()
    (tmp_path / "hooks" / "mine.yaml").write_text(
        "# @package hooks\nsay: {_target_: my_hook.Say}\nquiet: {_target_: ganrun.hooks.metrics.MetricsFile}\n"
    )
    monkeypatch.setattr(sys, "path", [*sys.path])
    words = "train dataset=digits model=mlp steps=2 precision=fp32 threads=1 hooks=mine"
    code = main([*words.split(), f"out={tmp_path / 'run'}", "--config-dir", str(tmp_path)])
    said = capsys.readouterr()
    assert (code, "played 2" in said.out) == (0, True), said
