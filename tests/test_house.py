"""The house rules: who may import whom, and what no file may do."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "ganrun"
FILES = sorted(PACKAGE.rglob("*.py"))

# room -> the rooms it may import; a room is a file of ganrun/ or a folder
MAY_IMPORT = {
    "objective": set(),
    "errors": set(),
    "limits": set(),
    "launch": set(),
    "ranks": {"__init__", "errors", "launch"},
    "checks": {"bounds", "errors", "limits", "untrusted"},
    "seeding": set(),
    "schedules": {"bounds"},
    "reading": set(),
    "average": set(),
    "meter": set(),
    "images": {"writing"},
    "writing": {"reading"},
    "terminal": {"untrusted", "writing"},
    "strange": {"errors", "reading", "untrusted"},
    "networks": {"bounds"},
    "finding": {"reading"},
    "untrusted": {"limits"},
    "budget": {"build", "errors", "losses", "systems"},
    "checkpoint": {"__init__", "finding", "reading", "untrusted", "writing"},
    "batches": {"prefetch", "seeding"},
    "prefetch": {"workers"},
    "workers": set(),
    "losses": {"bounds", "objective"},
    "augmentations": {"bounds"},
    "systems": {"augmentations", "bounds", "losses", "objective"},
    "data": {"batches", "bounds", "pictures", "reading", "terminal", "untrusted", "workers", "writing"},
    "hooks": {
        "bounds", "checkpoint", "errors", "evaluation", "features", "finding", "images", "limits", "precision",
        "reading", "rows", "sampling", "score_tables", "scoring", "terminal", "untrusted", "watch", "writing",
    },
    "watch": {"bounds"},
    "held": set(),
    "trainer": {
        "average", "batches", "clipping", "held", "meter", "objective", "ranks", "schedules", "seeding", "systems",
    },
    "build": {"bounds", "errors"},
    "parts": {
        "bounds", "budget", "build", "checkpoint", "checks", "data", "errors", "finding", "launch", "limits",
        "losses", "schedules", "seeding", "stored", "systems", "trainer", "untrusted",
    },
    "precision": set(),
    "speed": {"batches", "checks", "data", "launch", "parts", "precision", "ranks", "systems"},
    "graphs": {"batches", "proof"},
    "compiling": {"batches", "graphs", "proof", "systems"},
    "proof": {"held", "seeding"},
    "estimates": {"hooks", "images", "systems"},
    "remarks": {"data", "hooks", "launch", "losses", "strays", "systems"},
    "plan": {
        "build", "checks", "data", "errors", "estimates", "hooks", "launch", "memory", "parts", "rehearsal",
        "remarks", "speed", "systems", "trainer",
    },
    "naive": {"data", "parts", "pictures"},
    "bench": {
        "__init__", "bench_report", "errors", "folders", "hooks", "info", "naive", "parts", "plan", "precision",
        "runs", "speed", "trainer", "writing",
    },
    "bench_report": set(),
    "folders": {"errors", "strange", "writing"},
    "runs": {
        "average", "batches", "checks", "compiling", "errors", "finding", "folders", "graphs", "hooks", "losses",
        "networks", "parts", "plan", "precision", "ranks", "speed", "stored", "trainer", "writing",
    },
    "training": {"budget", "finding", "folders", "hints", "parts", "plan", "ranks", "reached", "runs", "speed"},
    "sampling": {
        "budget", "errors", "folders", "images", "losses", "parts", "ranks", "seeding", "systems", "untrusted",
        "writing",
    },
    "synthesis": {
        "__init__", "errors", "folders", "images", "parts", "ranks", "sampling", "systems", "terminal", "untrusted",
        "writing",
    },
    "study_data": {"build", "data", "errors", "parts", "sampling", "synthesis"},
    "study_report": {"__init__", "errors", "metrics", "plots", "study_data", "untrusted", "writing"},
    "study": {
        "augmentations", "batches", "build", "data", "errors", "folders", "parts", "schedules", "seeding",
        "study_data", "study_report",
    },
    "plots": {"metrics", "writing"},
    "features": {"bounds", "checkpoint", "data", "errors", "finding", "networks", "seeding", "study", "writing"},
    "scores": {"data", "errors", "features", "metrics", "study"},
    "scoring": {
        "__init__", "build", "checkpoint", "data", "errors", "features", "finding", "metrics", "scores", "seeding",
        "writing",
    },
    "latent_paths": {"features", "metrics", "networks", "sampling", "seeding", "systems"},
    "picture_sets": {"arrays", "data", "errors", "limits"},
    "score_tables": {"errors", "limits", "reading", "untrusted", "writing"},
    "fidelity_scores": {
        "__init__", "applying", "batches", "data", "errors", "images", "metrics", "score_tables", "seeding",
        "systems",
    },
    "evaluation": {
        "data", "errors", "fidelity_scores", "folders", "images", "latent_paths", "metrics", "parts", "picture_sets",
        "precision", "ranks", "sampling", "score_tables", "scores", "scoring", "systems", "terminal",
    },
    "curves": {"errors", "finding", "folders", "plots", "rows", "strange", "strips", "untrusted", "writing"},
    "doctor": {"errors", "parts", "plan", "runs", "seeding", "speed", "systems", "trainer", "watch"},
    "album": {"data", "errors", "untrusted"},
    "applying": {
        "album", "data", "errors", "folders", "images", "metrics", "parts", "sampling", "systems", "terminal",
        "tiling", "untrusted", "writing",
    },
    "metrics": set(),
    "tiling": set(),
    "pages": set(),
    "strays": {"checks", "errors", "pages"},
    "spelling": {"checks", "words"},
    "compose": {
        "bounds", "checks", "data", "errors", "finding", "folders", "hydra_words", "limits", "pages", "resolvers",
        "spelling", "strays", "synonyms", "user_yaml", "words", "writing",
    },
    "info": {"__init__"},
    "hydra_main": {"compose", "errors", "hydra_words", "pages", "terminal"},
    "cli": {
        "__init__", "checks", "compose", "entry", "errors", "folders", "hydra_main", "info", "launch", "pages",
        "ranks", "strange", "streams", "terminal", "training", "words", "writing",
    },
    "__main__": {"entry"},
    "__init__": set(),
    "living": {"batches", "systems"},
    "memory": {"data", "launch"},
    "rehearsal": {"batches", "build", "data", "errors", "estimates", "launch", "living", "parts", "systems"},
    "bounds": {"limits"},
    "clipping": set(),
    "resolvers": {"bounds", "data", "limits", "losses"},
    "hydra_words": set(),
    "synonyms": set(),
    "user_yaml": {"errors", "limits"},
    "reached": {"checks", "trainer"},
    "streams": set(),
    "entry": {"cli", "streams"},
    "pictures": {"reading"},
    "stored": {"limits", "untrusted"},
    "words": set(),
    "hints": {"build", "words"},
    "arrays": {"reading", "untrusted"},
    "rows": {"errors", "limits", "reading", "untrusted"},
    "strips": {"finding", "limits", "pictures"},
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
    assert speakers == {"hydra_main", "compose"}


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


MAKES_FILES = re.compile(
    r"(.*\.)?(write_text|write_bytes|mkdir|makedirs|touch|unlink|symlink_to|hardlink_to|open_memmap)"
    r"|os\.(replace|rename|link|symlink|remove|removedirs)|shutil\.(copy|copy2|copyfile|copytree|move|rmtree)"
)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_files_are_made_and_removed_in_one_room(path: Path) -> None:
    """`writing` follows no link that somebody else has laid; TensorBoard, Hydra and downloads make their own."""
    if room_of(path) == "writing":
        return
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        called, arguments = ast.unparse(node.func), [*node.args, *(word.value for word in node.keywords)]
        if isinstance(node.func, ast.Attribute):
            assert not MAKES_FILES.fullmatch(called), f"line {node.lineno}: {called}"
        if called.split(".")[-1] == "open" and "os.devnull" not in map(ast.unparse, arguments):
            modes = [word.value for word in arguments if isinstance(word, ast.Constant) and isinstance(word.value, str)]
            assert not any(re.fullmatch(r"[rwaxbt+]*[wax+][rwaxbt+]*", mode) for mode in modes), f"line {node.lineno}"


def test_progress_bars_come_from_one_room() -> None:
    """Others write to a stream that shows text alone, and a bar moves the cursor."""
    speakers = {room_of(path) for path in FILES if any(name.startswith("tqdm") for name in imports(path))}
    assert speakers == {"terminal", "hooks"}  # hooks/bar.py writes to the stream below, too


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


def text_files(tree: ast.AST) -> Iterator[tuple[ast.Call, bool]]:
    """Each call that opens a file as text, and whether it may write."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        function, owner = node.func, getattr(getattr(node.func, "value", None), "id", None)
        name = function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")
        if name in ("read_text", "write_text") and isinstance(function, ast.Attribute):  # not our own functions
            yield node, name == "write_text"
        if name in ("TextIOWrapper", "FileHandler", "NamedTemporaryFile", "TemporaryFile", "fdopen"):
            yield node, True
        if name == "open" and owner not in ("os", "Image", "tarfile", "webbrowser"):
            places = node.args[1:] if isinstance(function, ast.Name) else node.args
            modes = [word.value for word in places if isinstance(word, ast.Constant) and isinstance(word.value, str)]
            modes += [word.value.value for word in node.keywords if word.arg == "mode"]
            mode = modes[0] if modes else "r"
            if re.fullmatch("[rwax+]+t?", mode) and (modes or isinstance(function, ast.Name)):
                yield node, mode not in ("r", "rt")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_text_has_one_encoding_and_one_line_end_on_every_machine(path: Path) -> None:
    """A locale that is not UTF-8 and Windows change what `open` means where neither is said."""
    for call, writes in text_files(ast.parse(path.read_text(encoding="utf-8"))):
        given = {word.arg for word in call.keywords}
        said = ast.unparse(call)
        if any(f'"{kind}b' in said or f"'{kind}b" in said for kind in "rwax"):
            continue
        assert "encoding" in given, f"line {call.lineno}: encoding= is not said"
        assert not writes or "newline" in given, f"line {call.lineno}: newline= is not said"


def test_tables_end_their_lines_as_every_other_file_does() -> None:
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "csv.writer":
                assert any(word.arg == "lineterminator" for word in node.keywords), path
