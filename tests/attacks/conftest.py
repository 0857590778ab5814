"""A run worth attacking, and what every attack must end in: one line, in time."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ganrun.checkpoints import checkpoint
from ganrun.cli.main import main
from tests.fuzzing import alarm
from tests.waiting import HANG

QUICK = ["dataset.limit=32", "batch_size=4", "grids.count=4", "device=cpu", "steps=1", "hooks.console.seconds=0"]
SMALL = ["model.generator.widths=[8]", "model.discriminator.widths=[8]"]


def trained(folder: Path, *words: str) -> Path:
    here = os.getcwd()
    os.chdir(folder)
    try:
        assert main(["train", *QUICK, *words, "out=run"]) == 0
    finally:
        os.chdir(here)
    return folder / "run"


@pytest.fixture(scope="session")
def good_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    before, sys.argv = sys.argv, ["ganrun"]
    try:
        return trained(tmp_path_factory.mktemp("good"), "model=mlp", *SMALL)
    finally:
        sys.argv = before


@pytest.fixture
def good(good_run: Path) -> dict[str, Any]:
    """The state of an honest checkpoint, to be changed."""
    return checkpoint.load(good_run / "checkpoints/last.pt")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to stand in; `canary` in it is what an attack would leave."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(sys, "argv", ["ganrun"])
    return tmp_path / "here"


@pytest.fixture
def refused(here: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs a command that must end, in one line, and leave nothing. Returns the line."""

    def run(*words: str) -> str:
        before = set(here.parent.rglob("*"))
        capfd.readouterr()
        with alarm(HANG):
            code = main(list(words))
        errors = capfd.readouterr().err
        assert code in (1, 2), errors
        lines = [line for line in errors.splitlines() if not line.startswith("ganrun: note:")]
        assert len(lines) == 1, errors
        assert lines[0].startswith("ganrun: "), errors
        assert lines[0].isprintable()
        left = {path for path in here.parent.rglob("*") if path.is_file() and path.name != ".lock"} - before
        assert not left, left
        return lines[0]

    return run
