"""Runs that an older ganrun saved go on, and their checkpoints draw.

Each folder under `fixtures/COMMIT/` is a run that the code of COMMIT trained for a few steps. Its `continued.json`
and `continued.npz` hold the weights that its own `ganrun train resume=` made of it.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ganrun.cli.main import main
from tests.arithmetic import arithmetic

FIXTURES = Path(__file__).resolve().parent / "fixtures"
OWN = "own_class"  # its networks are classes of the user's, in my_nets.py
RUNS = [folder for commit in sorted(FIXTURES.iterdir()) for folder in sorted(commit.iterdir()) if folder.is_dir()]
OWN_RUNS = [folder for folder in RUNS if folder.name == OWN]
DRAWING = [folder for folder in RUNS if folder.name != "cyclegan"]  # which translates pictures instead
RATE = 2e-4  # the largest learning rate of a stored run


@pytest.fixture
def run(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of a stored run in a folder of its own, which is the current one."""
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(request.param, tmp_path / request.param.name))


@pytest.fixture
def my_nets(run: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The user's classes lie where Python finds them, and are forgotten after the test."""
    classes = run.parent / "classes"
    classes.mkdir()
    shutil.copy(FIXTURES / recorded(run)["commit"][:7] / "my_nets.py", classes)
    monkeypatch.syspath_prepend(str(classes))
    yield
    sys.modules.pop("my_nets", None)


def trusting(run: Path) -> list[str]:
    return ["trust=my_nets"] if run.name == OWN else []


def recorded(run: Path) -> dict[str, Any]:
    """What `continued.json` says of the code that saved this run."""
    return json.loads((run / "continued.json").read_text(encoding="utf-8"))


def rounds_alike(record: dict[str, Any]) -> bool:
    here = {"torch": torch.__version__, "cpu": torch.backends.cpu.get_cpu_capability(), "arithmetic": arithmetic()}
    return all(record[name] == value for name, value in here.items())


def hashes(weights: dict[str, np.ndarray]) -> dict[str, str]:
    return {name: hashlib.sha256(weight.tobytes()).hexdigest() for name, weight in weights.items()}


def assert_nearly_equal(found: dict[str, np.ndarray], wanted: dict[str, np.ndarray], steps: int) -> None:
    """What other rounding leaves of equality: Adam divides a gradient by its size, so a weight whose gradient is almost
    zero may take each step the other way, 2 × RATE apart; nine weights in ten agree to 1e-5."""
    assert found.keys() == wanted.keys()
    apart = np.concatenate([np.abs(found[name] - wanted[name]).ravel().astype(np.float64) for name in wanted])
    assert apart.max() <= 2 * RATE * steps + 1e-5
    assert np.quantile(apart, 0.9) <= 1e-5


def each(runs: list[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("run", runs, indirect=True, ids=lambda run: f"{run.parent.name}-{run.name}")


@each(RUNS)
@pytest.mark.usefixtures("my_nets")
def test_an_old_run_goes_on_as_its_own_code_would_have_gone_on(run: Path) -> None:
    record = recorded(run)
    last = record["continued_to_step"]
    assert main(["train", f"resume={run}", f"steps={last}", *trusting(run)]) == 0
    state = torch.load(run / "checkpoints" / "last.pt", weights_only=True)
    assert state["progress"]["step"] == last
    weights = {name: weight.numpy() for name, weight in state["system"].items()}
    if rounds_alike(record):
        assert hashes(weights) == record["sha256"]
    with np.load(run / "continued.npz") as wanted:
        assert_nearly_equal(weights, dict(wanted), last - record["saved_at_step"])


@each(DRAWING)
@pytest.mark.usefixtures("my_nets")
def test_an_old_checkpoint_draws(run: Path) -> None:
    assert main(["sample", f"ckpt={run}", "n=3", "out=drawn.npz", *trusting(run)]) == 0
    with np.load("drawn.npz") as drawn:
        assert drawn["images"].shape[0] == 3
        assert drawn["images"].std() > 0


@each([folder for folder in RUNS if folder not in DRAWING])
def test_an_old_translator_translates(run: Path) -> None:
    Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16)).save("picture.png")
    assert main(["apply", f"ckpt={run}", "input=picture.png", "out=translated"]) == 0
    assert [path.name for path in Path("translated").glob("[!.]*")] == ["picture.png"]


@each(OWN_RUNS)
@pytest.mark.usefixtures("my_nets")
@pytest.mark.parametrize("words", [["train", "resume=own_class", "steps=6"], ["sample", "ckpt=own_class", "n=3"]])
def test_a_users_class_in_an_old_checkpoint_needs_trust(
    run: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert main(words) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "my_nets" in line
    assert "trust=my_nets" in line
    assert "my_nets" not in sys.modules
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


@each(OWN_RUNS)
@pytest.mark.parametrize("words", [["train", "resume=own_class", "steps=6"], ["sample", "ckpt=own_class", "n=3"]])
def test_a_trusted_class_that_is_gone_is_named(run: Path, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, "trust=my_nets"]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "my_nets" in line
    assert "cannot be imported" in line


def test_the_stored_runs_name_nobodys_folders() -> None:
    for path in FIXTURES.rglob("*"):
        if path.is_file():
            assert not re.search(rb"/(?:tmp|root|work|Users)/|/home/(?!someone/)", path.read_bytes()), path
            assert path.stat().st_size < 300 * 1024, path
