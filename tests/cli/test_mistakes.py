"""A few of the values that benchmarks/keys.py tries on every key of every command."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import mistakes

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="Windows has no alarm")


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as before:
        before.chdir(os.getcwd())
        before.setattr(sys, "argv", sys.argv)
        for name in ("HOME", "CANARY"):
            before.setenv(name, "")
        yield mistakes.sandbox(tmp_path_factory.mktemp("keys"))


def test_every_key_of_every_command_is_in_the_walk() -> None:
    keys = {(line.command, line.key) for line in mistakes.lines()}
    assert len(keys) > 450
    assert {("train", "kimg"), ("train", "loss.penalties.r1.gamma"), ("sample", "n"), ("eval", "kid.size"),
            ("apply", "tile"), ("augment-study", "classifier.base_channels"), ("bench", "bench.rounds"),
            ("doctor", "doctor.steps"), ("plot", "times"), ("synthesize", "per_class")} <= keys  # fmt: skip


def test_a_value_that_means_nothing_ends_in_a_line_and_an_exit_code(here: Path, capfd) -> None:
    wrong = []
    with capfd.disabled():
        for line in mistakes.some(40, seed=1):
            _, _, offence = mistakes.offence(line, here)
            wrong += [f"{line.command} {line.key}={line.value[:40]}: {offence}"] if offence else []
    assert wrong == []
