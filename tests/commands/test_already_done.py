"""What a run says that has nothing left to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from ganrun.cli.main import main
from ganrun.commands.train.already_done import Reached
from ganrun.training.length import Length
from tests.cli.test_entry import QUICK

NONE = {"steps": None, "epochs": None, "kimg": None, "minutes": None}


def reached(stored: dict, asked: dict, before: Length, now: Length, step: int, seconds: float = 0.0) -> Reached:
    """A run with batches of 100, on a thousand pictures."""
    progress = {"step": step, "seconds": seconds}
    return Reached({**NONE, **stored, "batch_size": 100}, {**NONE, **asked}, progress, before, now, 1000)


def test_less_than_what_is_reached_is_said_with_both_lengths_and_what_goes_on() -> None:
    half = reached({"kimg": 100}, {"kimg": 40}, Length(1000), Length(400), 470)
    assert half.nothing_left
    assert not half.at_its_end
    assert half.line("RUN") == (
        "kimg=40 is less than what RUN has reached, 47 of 100 kimg: nothing was done; resume=RUN continues to 100 "
        "kimg, and kimg=200 trains longer"
    )


@pytest.mark.parametrize(
    ("stored", "asked", "before", "now", "said"),
    [
        (
            {"kimg": 100},
            {"steps": 400},
            Length(1000),
            Length(400),
            "steps=400 is less than what RUN has reached, 470 of",
        ),
        (
            {"steps": 1000},
            {"epochs": 47},
            Length(1000),
            Length(470),
            "epochs=47 is no more than what RUN has reached, 47",
        ),
        (
            {},
            {"epochs": 3},
            Length(1000),
            Length(30),
            "47 of 100 epochs: nothing was done; resume=RUN continues to 100 kimg",
        ),
        (
            {"minutes": 10},
            {"steps": 4},
            Length(minutes=10),
            Length(4),
            "470 steps: nothing was done; resume=RUN continues",
        ),
        ({"minutes": 10}, {"minutes": 3}, Length(minutes=10), Length(minutes=3), "reached, 5 of 10 minutes: nothing"),
    ],
)
def test_every_kind_of_length_is_compared_in_its_own_unit(stored, asked, before, now, said) -> None:
    half = reached(stored, asked, before, now, 470, seconds=300.0)
    assert half.nothing_left
    assert not half.at_its_end
    assert said in half.line("RUN")


def test_a_run_at_its_end_says_so_and_how_it_goes_on() -> None:
    done = reached({}, {}, Length(1000), Length(1000), 1000)
    assert done.line("RUN") == (
        "RUN has already reached its end, step 1000 (100 of 100 kimg): nothing was done; to train longer, add a length "
        "such as kimg=200"
    )
    shorter = reached({"kimg": 100}, {"kimg": 40}, Length(1000), Length(400), 1000)
    assert shorter.line("RUN").endswith(
        "100 of 100 kimg: nothing was done; to train longer, give more, such as kimg=200"
    )
    timed = reached({"minutes": 1}, {"minutes": 1}, Length(minutes=1), Length(minutes=1), 50, seconds=60.3)
    assert timed.at_its_end
    assert "its end, step 50 (1 of 1 minutes)" in timed.line("RUN").replace("1.00 of", "1 of")


def test_a_shorter_length_neither_trains_nor_marks_the_run_as_finished(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    quick = [word for word in QUICK if not word.startswith("hooks=")] + ["hooks.tensorboard=null"]
    assert main(["train", *quick, "steps=6", "checkpoint.every=2", "out=run"]) == 0
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    capsys.readouterr()
    assert main(["train", "resume=run/checkpoints/step_000004.pt", "steps=3"]) == 0
    assert capsys.readouterr().out == (
        "steps=3 is less than what run has reached, 4 of 6 steps: nothing was done; resume=run continues to 6 steps, "
        "and steps=12 trains longer\n"
    )
    assert {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()} == before


def test_samples_are_not_written_over_unasked(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", *QUICK, "steps=2", "out=run"]) == 0
    for _ in range(3):
        assert main(["sample", "ckpt=run", "n=1"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith("in run/samples_002.png")
    pictures = ["samples.png", "samples_001.png", "samples_002.png"]
    assert sorted(path.name for path in (tmp_path / "run").glob("samples*")) == pictures
    before = (tmp_path / "run/samples.png").read_bytes()
    assert main(["sample", "ckpt=run", "n=1", "seed=5"]) == 0
    assert (tmp_path / "run/samples.png").read_bytes() == before
    assert main(["sample", "ckpt=run", "n=1", "seed=5", "overwrite=true"]) == 0
    assert (tmp_path / "run/samples.png").read_bytes() != before
    assert len(list((tmp_path / "run").glob("samples*"))) == 4


@pytest.mark.parametrize(("unit", "advice"), [("epochs", "epochs=5"), ("steps", "steps=47"), ("kimg", "kimg=4.7")])
def test_steps_and_epochs_that_are_advised_are_whole(unit: str, advice: str) -> None:
    done = Reached(
        {**NONE, unit: 1, "batch_size": 100}, {**NONE, unit: 1}, {"step": 23.5}, Length(23), Length(23), 1000
    )
    assert done.line("RUN").endswith(f"such as {advice}")
