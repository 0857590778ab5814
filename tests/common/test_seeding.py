"""seeding: one seed for everything that torch draws, and one list of what else is seeded."""

from __future__ import annotations

import ast
from pathlib import Path

import torch

import ganrun
from ganrun.common.seeding import Purpose, mix, reseed

PACKAGE = Path(ganrun.__file__).parent
SEEDING = {"mix", "reseed", "generator"}


def test_reseeding_is_seeding_torch() -> None:
    reseed(3, 1, 4)
    one = torch.rand(4)
    torch.manual_seed(mix(3, 1, 4))
    assert torch.equal(one, torch.rand(4))


def test_each_purpose_has_a_number_of_its_own_below_every_step() -> None:
    numbers = [purpose.value for purpose in Purpose.__members__.values()]
    assert len(set(numbers)) == len(numbers)
    assert max(numbers) < 0


def test_the_numbers_stay_as_they_are() -> None:
    """Another number would be another picture from the same seed."""
    before = {
        "EXAMPLES": -1,
        "FIRST_WEIGHTS": -2,
        "SAMPLES": -3,
        "CLASSIFIER_WEIGHTS": -4,
        "STUDY_PICTURES": -5,
        "FEATURE_SPLIT": -6,
        "REAL_PICTURES": -7,
        "PATH_POSITIONS": -8,
        "DAMAGE": -9,
    }
    assert {name: Purpose[name].value for name in before} == before
    assert mix(0, Purpose.SAMPLES) == mix(0, -3)


def negative_constants(path: Path) -> set[str]:
    """Names that a file gives a negative whole number at its top."""
    return {
        target.id
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and isinstance(node.value, ast.UnaryOp)
        and isinstance(node.value.op, ast.USub)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }  # fmt: skip


def seeded_with(path: Path) -> set[str]:
    """What a file hands to `mix`, `reseed` and `generator`, as it is written there."""
    return {
        ast.unparse(argument)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in SEEDING
        for argument in node.args
    }


def test_no_file_has_a_purpose_of_its_own() -> None:
    for path in PACKAGE.rglob("*.py"):
        assert not any(word.startswith("-") for word in seeded_with(path)), path
        if "ganrun.common.seeding" in path.read_text(encoding="utf-8"):
            assert not negative_constants(path), path
