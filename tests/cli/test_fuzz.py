"""A hundred command lines and checkpoints with mistakes in them; benchmarks/fuzz.py tries thousands."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ganrun.checkpoints import checkpoint, restore
from ganrun.common.errors import UserError
from ganrun.systems import drawing
from ganrun.training import runs
from tests import fuzzing

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="Windows has no alarm")


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as before:
        before.chdir(os.getcwd())
        before.setattr(sys, "argv", sys.argv)
        for name in ("HOME", "CANARY"):
            before.setenv(name, "")
        yield fuzzing.sandbox(tmp_path_factory.mktemp("fuzz"))


@pytest.mark.parametrize(("kind", "count"), [("line", 60), ("checkpoint", 40)])
def test_a_mistake_ends_in_one_line_and_an_exit_code(kind: str, count: int, here: Path, capfd) -> None:
    wrong = []
    with capfd.disabled():
        for case in fuzzing.cases(1, count, here, kind):
            _, _, offence = fuzzing.offence(case, here)
            wrong += [f"{case.kind} {case.words}: {offence}"] if offence else []
    assert wrong == []


@pytest.mark.parametrize(
    "words",
    [
        ["train", "--info", "-m", "seed=0,1"],
        ["train", "out=" + "9" * 5000, "dry_run=true"],
        ["train", "out=" + "[" * 500, "dry_run=true"],
        ["sample", "ckpt=../run", "n=2", "--version"],
        ["train", "hooks=null", "dry_run=true"],
        ["train", "experiment=null", "dry_run=true"],
        ["train", "optimizer.betas=[[1],0.9]", "dry_run=true"],
        ["train", "--hydra-help", "seed=" + "9" * 5000],
    ],
)
def test_what_it_found(words: list[str], here: Path, capfd) -> None:
    with capfd.disabled():
        assert fuzzing.offence(fuzzing.Case("line", words), here)[2] == ""


def test_what_it_found_in_a_checkpoint_without_a_seed(here: Path, capfd) -> None:
    state = checkpoint.load(here / "../run/checkpoints/last.pt")
    for seed in ({}, {"seed": None}):
        config = {key: value for key, value in state["config"].items() if key != "seed"}
        checkpoint.save({**state, "config": config | seed}, here / "seedless.pt")
        with capfd.disabled():
            case = fuzzing.Case("state", ["sample", "ckpt=seedless.pt", "n=2", "out=o.png"])
            assert fuzzing.offence(case, here)[2] == ""


def test_a_checkpoint_whose_parts_were_put_together_wrongly_is_one_line(tiny, tmp_path: Path) -> None:
    """Found by the fuzz: classes=0 beside a generator that wants labels."""
    runs.train(tiny("model=cgan", "steps=1", "hooks=quiet"), tmp_path)
    state = checkpoint.load(tmp_path / "checkpoints/last.pt")
    state["config"]["model"]["classes"] = 0
    system = restore.load_system(state)
    with pytest.raises(UserError, match="cannot render"):
        list(drawing.render(system, drawing.draw(system, 2, seed=0), 2))
