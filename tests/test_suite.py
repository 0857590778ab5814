"""The rules of the tests themselves: few are slow, none of the promises is, and none asserts a time."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import COLLECTED
from tests.waiting import HANG

TESTS = Path(__file__).resolve().parent
FILES = sorted(TESTS.rglob("*.py"))
MOST = 1 / 5  # of all tests
NEVER_SLOW = re.compile(r"^tests/attacks/|every_config|resum|restart|reliab|old_checkpoint")

# Tools of benchmarks/, which do limit the time.
CLOCKS = {"fuzzing.py": {"monotonic"}, "mistakes.py": {"monotonic"}}


def test_at_most_a_fifth_of_the_tests_is_slow(pytestconfig: pytest.Config) -> None:
    items = pytestconfig.stash[COLLECTED]
    if len({item.path for item in items}) < sum(path.name.startswith("test_") for path in FILES):
        pytest.skip("a part of the suite was asked for")
    slow = [item for item in items if item.get_closest_marker("slow")]
    assert 0 < len(slow) <= MOST * len(items)


def test_what_ganrun_promises_is_never_left_out(pytestconfig: pytest.Config) -> None:
    """Resume, attacks and every config are part of `make test`."""
    slow = [item.nodeid for item in pytestconfig.stash[COLLECTED] if item.get_closest_marker("slow")]
    assert not [name for name in slow if NEVER_SLOW.search(name)]


def parsed() -> Iterator[tuple[Path, ast.Module]]:
    return ((path.relative_to(TESTS), ast.parse(path.read_text(encoding="utf-8"))) for path in FILES)


def clocks(tree: ast.AST) -> set[str]:
    """The clocks that a file reads."""
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    owned = [call for call in calls if isinstance(call, ast.Attribute) and ast.unparse(call.value) == "time"]
    imported = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "time"
        for alias in node.names
    }
    return ({call.attr for call in owned} | imported) - {"sleep"}


def test_no_test_reads_a_clock() -> None:
    """What it read would be asserted, and a slow machine would fail: limits of time lie in benchmarks/."""
    assert not [path for path, tree in parsed() if clocks(tree) - CLOCKS.get(path.name, set())]


def patience(tree: ast.AST) -> Iterator[tuple[int, float]]:
    """Each number of seconds that a test waits for a process or a thread at most: its line and the number."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        given = [word.value for word in node.keywords if word.arg == "timeout"]
        if isinstance(node.func, ast.Attribute) and node.func.attr in ("wait", "join", "communicate"):
            given += node.args
        for value in given:
            if isinstance(value, ast.Constant) and isinstance(value.value, int | float) and value.value:
                yield node.lineno, value.value


def test_no_test_is_less_patient_than_the_slowest_machine() -> None:
    short = [f"{path}:{line}" for path, tree in parsed() for line, seconds in patience(tree) if seconds < HANG]
    assert not short
