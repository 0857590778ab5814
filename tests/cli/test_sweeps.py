"""What a sweep says when it cannot start, or when one of its jobs fails: which job, and what to do."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ganrun.cli.main import main
from ganrun.commands.train import train
from ganrun.common.errors import UserError

QUICK = ["model=mlp", "steps=1", "precision=fp32", "threads=1", "dataset.limit=8", "batch_size=4", "hooks=quiet"]


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ganrun"])


def test_the_advice_for_a_sweep_that_is_there_works(capsys: pytest.CaptureFixture[str]) -> None:
    sweep = ["train", "-m", *QUICK, "seed=0,1", "out=sw"]
    assert main(sweep) == 0
    assert main(sweep) == 2
    said = capsys.readouterr().err
    assert "resume=auto to go on with its jobs; one alone goes on with resume=sw/JOB, without -m" in said
    assert main([*(word for word in sweep if not word.startswith("steps=")), "steps=2", "resume=auto"]) == 0
    assert main(["train", "resume=sw/1-mlp-non_saturating", "steps=3"]) == 0


@pytest.mark.parametrize(("error", "code"), [(UserError, 2), (FloatingPointError, 1), (FileNotFoundError, 1)])
def test_the_last_line_of_a_sweep_names_the_job_that_failed(error, code: int, monkeypatch, capsys) -> None:
    run = train.run

    def failing(config, *arguments, **options):
        if config["seed"] == 1:
            raise error("it broke")
        return run(config, *arguments, **options)

    monkeypatch.setattr(train, "run", failing)
    assert main(["train", "-m", *QUICK, "seed=0,1", "loss=hinge,wgan", "out=sw"]) == code
    assert capsys.readouterr().err.splitlines()[-1] == "ganrun: seed=1 loss=hinge: it broke"


def test_what_a_job_cannot_do_is_named_with_the_job_before_the_sweep_starts(tmp_path: Path, capsys) -> None:
    assert main(["train", "-m", *QUICK, "loss=hinge,wgan", "batch_size=8,99", "out=sw"]) == 2
    assert capsys.readouterr().err.startswith("ganrun: loss=hinge batch_size=99: batch_size=99 is larger than the data")
    assert main(["train", "-m", *QUICK, "batch_size=8,99", "out=sw"]) == 2
    assert capsys.readouterr().err.startswith("ganrun: batch_size=99 is larger than the data")
    assert not list(tmp_path.iterdir())


def test_the_place_where_two_jobs_meet_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    words = [word for word in QUICK if not word.startswith("steps")]
    places = "out=a.json,b.json,b.json"
    assert main(["bench", "-m", *words, "bench.naive=false", places]) == 2
    assert capsys.readouterr().err.startswith("ganrun: out=b.json: the jobs of this sweep would overwrite each other")
