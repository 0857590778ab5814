"""The house rules: who may import whom, and what no file may do."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "ganrun"
FILES = sorted(PACKAGE.rglob("*.py"))

# room -> the rooms it may import; a room is a file of ganrun/ or a folder
MAY_IMPORT = {
    "objective": set(),
    "errors": set(),
    "limits": set(),
    "reading": set(),
    "pictures": {"reading"},
    "launch": set(),
    "ranks": {"__init__", "errors", "launch"},
    "checks": {"errors", "limits", "untrusted"},
    "seeding": set(),
    "schedules": set(),
    "average": set(),
    "meter": set(),
    "images": {"writing"},
    "writing": set(),
    "networks": set(),
    "finding": set(),
    "untrusted": {"limits"},
    "budget": {"build", "errors", "losses", "systems"},
    "checkpoint": {"__init__", "finding", "untrusted", "writing"},
    "batches": {"prefetch", "seeding"},
    "prefetch": {"workers"},
    "workers": set(),
    "losses": {"objective"},
    "augmentations": set(),
    "systems": {"augmentations", "losses", "objective"},
    "data": {"batches", "pictures", "untrusted", "workers"},
    "hooks": {
        "images", "checkpoint", "errors", "evaluation", "features", "finding", "limits", "precision", "reading", "rows",
        "sampling", "score_tables", "scoring", "untrusted", "watch", "writing",
    },
    "watch": set(),
    "held": set(),
    "trainer": {"systems", "average", "batches", "held", "meter", "objective", "ranks", "schedules", "seeding"},
    "build": {"errors"},
    "stored": {"limits", "untrusted"},
    "parts": {
        "budget", "build", "checkpoint", "checks", "data", "errors", "finding", "launch", "losses", "schedules",
        "seeding", "stored", "systems", "trainer", "untrusted",
    },
    "precision": set(),
    "graphs": {"batches"},
    "compiling": {"systems"},
    "estimates": {"hooks"},
    "plan": {
        "batches", "build", "checks", "data", "errors", "estimates", "hooks", "launch", "parts", "systems", "trainer",
    },
    "naive": {"data", "parts", "pictures"},
    "bench": {
        "__init__", "bench_report", "errors", "hooks", "info", "naive", "parts", "plan", "precision",
        "runs", "trainer", "writing",
    },
    "bench_report": set(),
    "folders": {"errors"},
    "runs": {
        "average", "batches", "checks", "compiling", "errors", "finding", "folders", "graphs", "hooks", "losses",
        "networks", "parts", "plan", "precision", "ranks", "stored", "trainer",
    },
    "words": set(),
    "hints": {"build", "words"},
    "training": {"budget", "finding", "folders", "hints", "parts", "plan", "ranks", "runs"},
    "sampling": {"budget", "images", "errors", "losses", "parts", "ranks", "seeding", "systems", "writing"},
    "synthesis": {"__init__", "images", "errors", "parts", "ranks", "sampling", "systems", "writing"},
    "study_data": {"build", "data", "errors", "parts", "sampling", "synthesis"},
    "study_report": {"__init__", "errors", "metrics", "plots", "study_data"},
    "study": {
        "augmentations", "batches", "build", "data", "errors", "parts", "schedules", "seeding", "study_data",
        "study_report",
    },
    "plots": {"metrics"},
    "features": {"checkpoint", "data", "errors", "finding", "networks", "seeding", "study"},
    "scores": {"data", "errors", "features", "metrics", "study"},
    "scoring": {
        "__init__", "build", "checkpoint", "data", "errors", "features", "finding", "metrics", "scores", "seeding",
    },
    "latent_paths": {"features", "metrics", "networks", "sampling", "seeding", "systems"},
    "arrays": {"reading", "untrusted"},
    "picture_sets": {"arrays", "data", "errors", "limits"},
    "score_tables": {"errors", "limits", "reading", "untrusted", "writing"},
    "fidelity_scores": {
        "__init__", "applying", "batches", "data", "errors", "images", "metrics", "score_tables", "seeding", "systems",
    },
    "evaluation": {
        "data", "errors", "fidelity_scores", "folders", "images", "latent_paths", "metrics", "parts",
        "picture_sets", "precision", "ranks", "sampling", "score_tables", "scores", "scoring", "systems",
    },
    "rows": {"errors", "limits", "reading", "untrusted"},
    "strips": {"finding", "limits", "pictures"},
    "curves": {"errors", "finding", "plots", "rows", "strips", "untrusted", "writing"},
    "doctor": {"errors", "parts", "plan", "runs", "seeding", "systems", "trainer", "watch"},
    "album": {"data", "errors", "untrusted"},
    "applying": {
        "album", "data", "errors", "folders", "images", "metrics", "parts", "sampling", "systems", "tiling",
        "untrusted",
    },
    "metrics": set(),
    "tiling": set(),
    "pages": set(),
    "compose": {"checks", "finding", "errors", "pages", "data", "losses", "words"},
    "info": {"__init__"},
    "cli": {
        "__init__", "pages", "errors", "checks", "compose", "folders", "launch", "ranks", "training", "info", "words",
    },
    "__main__": {"cli"},
    "__init__": set(),
}  # fmt: skip


def room_of(path: Path) -> str:
    relative = path.relative_to(PACKAGE)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def imports(path: Path) -> set[str]:
    """The modules a file imports anywhere in it, but for those that only a type checker sees."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    unseen = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    found = set()
    for node in ast.walk(tree):
        if id(node) in unseen:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == "ganrun":
            found |= {f"ganrun.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_room_imports_only_what_the_house_allows(path: Path) -> None:
    room = room_of(path)
    names = {name.split(".")[1] for name in imports(path) if name.startswith("ganrun.")}
    rooms = {name if (PACKAGE / f"{name}.py").exists() or (PACKAGE / name).is_dir() else "__init__" for name in names}
    assert rooms - {room} <= MAY_IMPORT[room]


def test_systems_get_networks_by_constructor_never_by_import() -> None:
    for path in (PACKAGE / "systems").glob("*.py"):
        assert not any(name.startswith(("ganrun.networks", "torchvision")) for name in imports(path)), path


def test_hydra_is_spoken_in_two_rooms() -> None:
    speakers = {
        room_of(path) for path in FILES if any(re.match(r"(hydra|omegaconf)\b", name) for name in imports(path))
    }
    assert speakers == {"cli", "compose"}


def test_the_trainer_names_no_system() -> None:
    text = (PACKAGE / "trainer.py").read_text(encoding="utf-8").lower()
    for word in ("generator", "discriminator", "latent", "cyclegan", "label"):
        assert word not in text.replace("it does not know what a gan is", "")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nothing_opens_files_that_could_run_code(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for forbidden in ("weights_only=False", "import pickle", "extractall", "yaml.load(", "instantiate("):
        assert forbidden not in text
    calls = {
        node.func.id
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert not calls & {"eval", "exec"}


def test_pictures_are_opened_through_one_door() -> None:
    """`Image.open` alone starts Ghostscript for an EPS, whatever its name says."""
    doors = re.compile(
        r"\bImage\.open\(|from PIL\.Image import|read_image\(|decode_image\(|default_loader|ImageFolder\("
    )
    opening = [path.name for path in FILES if doors.search(path.read_text(encoding="utf-8"))]
    assert opening == ["pictures.py"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_files_and_functions_stay_short(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 400, "a file is a room: split it"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            assert (node.end_lineno or 0) - node.lineno < 60, node.name


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_file_says_what_it_is(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not text.strip() or ast.get_docstring(ast.parse(text))
