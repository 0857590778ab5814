"""The head of each recipe says how it is started, what it reaches by which protocol, and what that costs."""

from __future__ import annotations

from pathlib import Path

import pytest

from ganrun.config.tree import conf_folder

RECIPES = sorted((conf_folder() / "experiment").glob("*.yaml"))
PARTS = ("Target: ", "Cost: ", "Source: ")


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_states_command_target_cost_and_source(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    head = [line.removeprefix("# ") for line in lines[: lines.index("defaults:")]]
    assert head[1].startswith(f"ganrun train experiment={path.stem}")
    for part in PARTS:
        (found,) = [line for line in head if line.startswith(part)]
        assert len(found) > len(part) + 10


def test_the_docs_of_adding_say_so() -> None:
    page = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert all(f"`{part.strip()}`" in page for part in PARTS)
