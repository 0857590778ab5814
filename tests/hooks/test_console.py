"""Console: what is said about a run while it goes on."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest

from ganrun.hooks import console
from ganrun.hooks.console import Console
from ganrun.trainer import Length


def played(steps: int, seconds: float, length: Length, monkeypatch, caplog, tmp_path) -> list[str]:
    """The lines about speed of a run whose first step takes a minute and each other one `seconds`."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(console.time, "monotonic", lambda: clock.now)
    trainer = SimpleNamespace(
        step=0, progress=0.0, length=length, stream=SimpleNamespace(batch_size=8), logged=None, stopped=None
    )
    hook = Console(tmp_path, {})
    with caplog.at_level(logging.INFO, "ganrun.progress"):
        hook.on_start(trainer)
        for step in range(1, steps + 1):
            clock.now += 60 if step == 1 else seconds
            trainer.step = step
            trainer.progress = step / length.steps if length.steps else (clock.now - 60) / (60 * length.minutes)
            hook.on_step(trainer)
    return [record.getMessage() for record in caplog.records]


def test_once_warm_one_line_tells_the_speed_and_the_time_to_the_end(monkeypatch, caplog, tmp_path) -> None:
    """Its first step does not count: step 31 is the first that ends 3 s after it, and 469 of 0.1 s are left."""
    lines = played(400, 0.1, Length(steps=500), monkeypatch, caplog, tmp_path)
    assert lines == ["speed       80 images/s: about 0:47 to step 500"]


def test_slow_steps_are_not_waited_for_twenty_times(monkeypatch, caplog, tmp_path) -> None:
    assert played(3, 10, Length(steps=500), monkeypatch, caplog, tmp_path) == [
        "speed       1 images/s: about 1:22:50 to step 500"
    ]


def test_of_a_run_in_minutes_the_line_tells_how_far_it_will_come(monkeypatch, caplog, tmp_path) -> None:
    """A minute of steps of 0.1 s: 600, and the first."""
    assert played(40, 0.1, Length(minutes=1), monkeypatch, caplog, tmp_path) == [
        "speed       80 images/s: about 0:57 to step 601"
    ]


@pytest.mark.parametrize("steps", [1, 20])
def test_a_short_run_says_nothing_of_its_speed_before_its_end(steps, monkeypatch, caplog, tmp_path) -> None:
    assert played(steps, 0.1, Length(steps=steps), monkeypatch, caplog, tmp_path) == []
