"""Profile: a trace on request."""

from __future__ import annotations

import gzip
import json
import logging
from pathlib import Path

from ganrun.training import runs


def train(tiny, folder: Path, *words: str) -> list[Path]:
    runs.train(tiny("model=mlp", "hooks=quiet", *words), folder)
    return sorted(folder.glob("*.json.gz"))


def test_the_steps_after_the_tenth_are_traced_into_a_file_that_viewers_open(tiny, tmp_path: Path) -> None:
    (path,) = train(tiny, tmp_path, "steps=15", "profile=3")
    assert path.name == "steps_000011-000013.pt.trace.json.gz"
    with gzip.open(path) as file:
        events = json.load(file)["traceEvents"]
    names = [event.get("name", "") for event in events]
    assert sum(name.startswith("Optimizer.step") for name in names) == 2 * 3, "two players"
    assert any(name.startswith("ProfilerStep") for name in names)


def test_a_run_that_ends_early_has_a_shorter_trace(tiny, tmp_path: Path) -> None:
    (path,) = train(tiny, tmp_path, "steps=12", "profile=100")
    assert path.name == "steps_000011-000012.pt.trace.json.gz"


def test_a_run_too_short_to_be_traced_says_so(tiny, tmp_path: Path, caplog) -> None:
    with caplog.at_level(logging.WARNING, "ganrun"):
        assert not train(tiny, tmp_path, "steps=10", "profile=3")
    assert "there is no trace" in caplog.text


def test_nothing_is_traced_unasked(tiny, tmp_path: Path) -> None:
    assert not train(tiny, tmp_path, "steps=15")
