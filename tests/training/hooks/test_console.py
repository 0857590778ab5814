"""Console: what is said about a run while it goes on."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import struct
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from ganrun.training.hooks import console
from ganrun.training.hooks.bar import News, draw_bar, initials, line
from ganrun.training.hooks.console import Console
from ganrun.training.length import Length
from ganrun.training.record import StepRecord

ROOT = Path(__file__).resolve().parents[3]


def played(
    steps: int, seconds: float, length: Length, monkeypatch, caplog, tmp_path, logs: tuple[int, ...] = ()
) -> list[str]:
    """What is said of a run whose first step takes a minute and each other one `seconds`, and that logs at `logs`."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(console.time, "monotonic", lambda: clock.now)
    trainer = SimpleNamespace(
        step=0,
        progress=0.0,
        length=length,
        stream=SimpleNamespace(batch_size=8),
        control=SimpleNamespace(stopped=None, alarms=[]),
    )
    hook = Console(tmp_path, {})
    with caplog.at_level(logging.INFO, "ganrun.progress"):
        hook.on_start(trainer)
        for step in range(1, steps + 1):
            clock.now += 60 if step == 1 else seconds
            trainer.step = step
            trainer.progress = step / length.steps if length.steps else (clock.now - 60) / (60 * length.minutes)
            means = {"generator/adversarial": 1.5} if step in logs else None
            hook.on_step(trainer, StepRecord(step, 8 * step, means))
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


def test_the_time_left_is_told_once_it_can_be_known_and_without_the_first_step(monkeypatch, caplog, tmp_path) -> None:
    """Ten steps of 0.6 s after the first: 489 are left, which take 293.4 s."""
    lines = played(11, 0.6, Length(steps=500), monkeypatch, caplog, tmp_path, logs=(1, 11))
    assert lines == ["step 1/500  generator 1.500", "step 11/500  13 images/s  generator 1.500  4:53 left"]


def test_what_the_watchdog_found_is_said_once_more_at_the_end(monkeypatch, caplog, tmp_path) -> None:
    alarms = ["watchdog  step 35: generator stands still; try optimizer.lr=1e-4", "watchdog  step 40: x; try y"]
    trainer = SimpleNamespace(
        step=50, progress=1.0, length=Length(steps=50), stream=SimpleNamespace(batch_size=8),
        control=SimpleNamespace(stopped=alarms[1], alarms=alarms),
    )  # fmt: skip
    hook = Console(tmp_path, {})
    with caplog.at_level(logging.INFO, "ganrun.progress"):
        hook.on_start(trainer)
        hook.on_end(trainer)
    ended, *said = [record.getMessage() for record in caplog.records]
    assert ended.startswith("watchdog  step 40: x; try y after step 50")
    assert said == ["remember   step 35: generator stands still; try optimizer.lr=1e-4"]


# -- the bar --------------------------------------------------------------------------------------------------------

GAN = News(1000, 12500, 0.08, {"discriminator": 0.6931, "accuracy": 0.8125, "generator": 1.2345}, 2240.4, "12:34")


def test_the_bar_says_as_much_as_its_width_allows() -> None:
    assert line(GAN, 131) == (
        "  8%  |██                            |  1000/12500  2,240 images/s  discriminator 0.693  generator 1.23  "
        "accuracy 0.812  12:34 left"
    )
    assert line(GAN, 79) == "  8%  |██                 |  1000/12500  D 0.693  G 1.23  acc 0.812  12:34 left"
    assert line(GAN, 59) == "  8%  |█         |  1000/12500  D 0.693  G 1.23  12:34 left"
    assert line(GAN, 39) == "  8%  D 0.693  G 1.23  12:34 left"


@pytest.mark.parametrize("width", range(5, 200))
def test_no_width_breaks_the_line_or_shrinks_the_bar_below_ten(width: int) -> None:
    said = line(GAN, width)
    assert len(said) <= width
    assert "|" not in said or said.rindex("|") - said.index("|") > 10
    assert width < 20 or "D 0.693  G 1.23" in said or "discriminator 0.693  generator 1.23" in said


def test_players_of_one_initial_keep_their_names() -> None:
    assert initials(["discriminator", "generator", "accuracy"]) == ["D", "G", "acc"]
    assert initials(["gan", "generator"]) == ["gan", "generator"]


def test_a_terminal_without_blocks_gets_a_bar_of_ascii() -> None:
    assert draw_bar(0.5, 10, ("#", ".")) == "|#####.....|"


SCRIPT = """
import logging, sys, tests.training.hooks.test_console as here
logging.basicConfig(stream=sys.stdout, format="%(message)s", level=logging.INFO)
logging.root.handlers[0].setLevel(logging.INFO)
logging.getLogger("ganrun").setLevel(logging.DEBUG)
here.shown()
"""


def shown() -> None:
    """A run of 60 steps on the terminal, in the midst of which the watchdog speaks."""
    trainer = SimpleNamespace(
        step=0, progress=0.0, length=Length(steps=60), stream=SimpleNamespace(batch_size=8),
        control=SimpleNamespace(stopped=None, alarms=["watchdog  step 30: x"]),
    )  # fmt: skip
    means = {"discriminator/adversarial": 0.6931, "generator/adversarial": 12.345}
    hook = Console(Path("."), {}, seconds=0)
    hook.on_start(trainer)
    for step in range(1, 61):
        trainer.step, trainer.progress = step, step / 60
        if step == 30:
            logging.getLogger("ganrun").warning("watchdog  step 30: x")
        hook.on_step(trainer, StepRecord(step, 8 * step, means))
    hook.on_end(trainer)


def on_a_terminal(columns: int, **more: str) -> list[str]:
    """What stands on each line of a terminal of so many columns, from its beginning or from a return to it."""
    termios, fcntl = pytest.importorskip("termios"), pytest.importorskip("fcntl")
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    env = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    env |= {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8", "TERM": "xterm", **more}
    process = subprocess.Popen([sys.executable, "-c", SCRIPT], cwd=ROOT, env=env, stdout=theirs, stderr=theirs)
    os.close(theirs)
    said = b""
    with contextlib.suppress(OSError):  # the end, on Linux
        while part := os.read(ours, 65536):
            said += part
    assert process.wait() == 0
    os.close(ours)
    assert b"\x1b" not in said
    return [part.rstrip() for part in re.split(r"[\r\n]+", said.decode()) if part.strip()]


@pytest.mark.slow
@pytest.mark.parametrize("columns", [0, 40, 80])
def test_on_a_terminal_the_bar_fits_and_warnings_stand_in_lines_of_their_own(columns: int) -> None:
    lines = on_a_terminal(columns, NO_COLOR="1")
    bars = [said for said in lines if "D 0.693  G 12.3" in said]
    assert bars
    assert all(len(said) < (columns or 80) for said in bars)
    assert lines.count("watchdog  step 30: x") == 1
    assert lines[-1] == "remember   step 30: x"
    assert not [said for said in lines if said.startswith("step ")], "those are for train.log alone"


@pytest.mark.slow
def test_a_dumb_terminal_gets_plain_lines() -> None:
    lines = on_a_terminal(80, TERM="dumb")
    assert lines[0] == "step 1/60  discriminator 0.693  generator 12.345"
    assert not [said for said in lines if "|" in said]
