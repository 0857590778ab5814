"""The house rules: who may import whom, and what no file may do."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "ganrun"
FILES = sorted(PACKAGE.rglob("*.py"))

# Each room may import the rooms of the rows above it that its row names: arrows point one way, so there is no circle.
MAY_IMPORT = {
    "common": set(),
    "networks": {"common"},
    "augmentations": {"common"},
    "losses": {"common"},
    "systems": {"common", "augmentations", "losses"},
    "data": {"common"},
    "config": {"common", "losses", "systems", "data"},
    "checkpoints": {"common", "losses", "systems", "config"},
    "evaluation": {"common", "augmentations", "networks", "systems", "data", "config", "checkpoints"},
    "training": {"common", "networks", "losses", "systems", "data", "config", "checkpoints", "evaluation"},
    "commands": {"common", "systems", "data", "config", "checkpoints", "evaluation", "training"},
    "cli": {"common", "networks", "losses", "systems", "data", "config", "checkpoints", "commands"},
}  # fmt: skip
FACE = ("__init__", "__main__")  # the package's own two files


@functools.cache
def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@functools.cache
def tree_of(path: Path) -> ast.Module:
    """The parsed file: read once, however many tests look at it."""
    return ast.parse(text_of(path))


def room_of(path: Path) -> str:
    relative = path.relative_to(PACKAGE)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


@functools.cache
def imports(path: Path) -> set[str]:
    """The modules a file imports anywhere in it, but for those that only a type checker sees."""
    tree = tree_of(path)
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
        assert not getattr(node, "level", 0), f"{path}, line {node.lineno}: imports are absolute"
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
    rooms = {name for name in names if (PACKAGE / name).is_dir()}
    assert room in FACE or rooms - {room} <= MAY_IMPORT[room]


def test_the_rule_has_no_arrow_upwards_and_no_row_too_many() -> None:
    order = list(MAY_IMPORT)
    assert all(order.index(other) < order.index(room) for room in order for other in MAY_IMPORT[room])
    used: dict[str, set[str]] = {room: set() for room in order}
    for path in FILES:
        used.get(room_of(path), set()).update(
            name.split(".")[1] for name in imports(path) if name.startswith("ganrun.") and name.count(".") > 1
        )
    for room in order:
        assert MAY_IMPORT[room] <= used[room], f"{room} imports no {MAY_IMPORT[room] - used[room]}: take it out"


def test_the_package_has_few_entries() -> None:
    entries = [path.name for path in PACKAGE.iterdir() if path.name not in ("__pycache__", "conf")]
    assert sorted(MAY_IMPORT) == sorted(name for name in entries if (PACKAGE / name).is_dir())
    assert len(entries) <= 15


@pytest.mark.parametrize("path", sorted((PACKAGE / "commands").rglob("*.py")), ids=lambda path: path.stem)
def test_no_command_imports_a_command(path: Path) -> None:
    def command_of(parts: tuple[str, ...]) -> str:
        return parts[0].removesuffix(".py")

    own = command_of(path.relative_to(PACKAGE / "commands").parts)
    others = {command_of(tuple(name.split(".")[2:])) for name in imports(path) if name.startswith("ganrun.commands.")}
    assert others <= {own, "command"}  # what a command is: no command itself


def test_systems_get_networks_by_constructor_never_by_import() -> None:
    for path in (PACKAGE / "systems").glob("*.py"):
        assert not any(name.startswith(("ganrun.networks", "torchvision")) for name in imports(path)), path


def test_hydra_is_spoken_in_one_room() -> None:
    speakers = {
        room_of(path) for path in FILES if any(re.match(r"(hydra|omegaconf)\b", name) for name in imports(path))
    }
    assert speakers == {"cli"}


def test_the_trainer_names_no_system() -> None:
    text = text_of(PACKAGE / "training" / "trainer.py").lower()
    for word in ("generator", "discriminator", "latent", "cyclegan", "label"):
        assert word not in text.replace("it does not know what a gan is", "")


PLAYERS = {f"{name}{s}" for name in ("discriminator", "generator") for s in ("", "s")} | {"autoencoder"}


def players_named(tree: ast.Module) -> Iterator[tuple[int, set[str]]]:
    """Each line that compares with, matches or loops over names of players: literal ones, or a constant that has some.

    A constant counts where it is a tuple, list or set of names, under whatever name it is used.
    """
    constants = {
        target.id: set(texts_in(node.value))
        for node in ast.walk(tree)
        if isinstance(node, (ast.Assign, ast.AnnAssign))
        and isinstance(node.value, (ast.Tuple, ast.List, ast.Set, ast.Call))
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        asked: list[ast.AST] = []
        if isinstance(node, ast.Compare):
            asked = [node]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            asked = [node] if node.func.attr in ("startswith", "endswith", "removeprefix") else []
        elif isinstance(node, (ast.For, ast.comprehension)):
            asked = [node.iter]
        elif isinstance(node, ast.match_case):
            asked = [node.pattern]
        for part in asked:
            used = {one.id for one in ast.walk(part) if isinstance(one, ast.Name)} & constants.keys()
            if named := PLAYERS & set(texts_in(part)).union(*(constants[name] for name in used)):
                yield getattr(part, "lineno", 0), named


def texts_in(node: ast.AST) -> Iterator[str]:
    return (one.value for one in ast.walk(node) if isinstance(one, ast.Constant) and isinstance(one.value, str))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_systems_know_their_players_by_name(path: Path) -> None:
    """Others ask `System.role`: a system may call its players as it likes."""
    found = list(players_named(tree_of(path))) if room_of(path) != "systems" else []
    assert not found, f"{path}: {found}"


@pytest.mark.parametrize(
    "code",
    [
        "player == 'generator'",
        "player in ('discriminator', 'other')",
        "player.startswith('generator')",
        "for player in ['generator', 'discriminator']: pass",
        "{player: 1 for player in ('discriminators',)}",
        "NAMES = {'generator'}\nplayer in NAMES",
        "NAMES: tuple[str, ...] = ('generator',)\nplayer in NAMES",
        "NAMES = frozenset(['generator'])\nfor player in sorted(NAMES): pass",
        "match player:\n    case 'autoencoder': pass",
    ],
)
def test_a_player_that_is_told_by_its_name_is_seen(code: str) -> None:
    assert list(players_named(ast.parse(code)))
    assert not list(players_named(ast.parse(re.sub("generators?|discriminators?|autoencoder", "name", code))))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nothing_opens_files_that_could_run_code(path: Path) -> None:
    text = text_of(path)
    for forbidden in ("weights_only=False", "import pickle", "extractall", "yaml.load(", "instantiate("):
        assert forbidden not in text
    calls = {
        node.func.id
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert not calls & {"eval", "exec"}


MAKES_FILES = re.compile(
    r"(.*\.)?(write_text|write_bytes|mkdir|makedirs|touch|unlink|symlink_to|hardlink_to|open_memmap)"
    r"|os\.(replace|rename|link|symlink|remove|removedirs)|shutil\.(copy|copy2|copyfile|copytree|move|rmtree)"
)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_files_are_made_and_removed_in_one_room(path: Path) -> None:
    """`atomic` follows no link that somebody else has laid; TensorBoard, Hydra and downloads make their own."""
    if path == PACKAGE / "common" / "atomic.py":
        return
    for node in ast.walk(tree_of(path)):
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
    speakers = {path.stem for path in FILES if any(name.startswith("tqdm") for name in imports(path))}
    assert speakers == {"terminal", "bar"}  # hooks/bar.py writes to the stream below, too


def test_pictures_are_opened_through_one_door() -> None:
    """`Image.open` alone starts Ghostscript for an EPS, whatever its name says."""
    doors = re.compile(
        r"\bImage\.open\(|from PIL\.Image import|read_image\(|decode_image\(|default_loader|ImageFolder\("
    )
    opening = [path.name for path in FILES if doors.search(text_of(path))]
    assert opening == ["pictures.py"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_files_and_functions_stay_short(path: Path) -> None:
    text = text_of(path)
    assert len(text.splitlines()) <= 400, "a file is a room: split it"
    for node in ast.walk(tree_of(path)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            assert (node.end_lineno or 0) - node.lineno < 60, node.name


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_file_says_what_it_is(path: Path) -> None:
    text = text_of(path)
    assert not text.strip() or ast.get_docstring(tree_of(path))


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
    for call, writes in text_files(tree_of(path)):
        given = {word.arg for word in call.keywords}
        said = ast.unparse(call)
        if any(f'"{kind}b' in said or f"'{kind}b" in said for kind in "rwax"):
            continue
        assert "encoding" in given, f"line {call.lineno}: encoding= is not said"
        assert not writes or "newline" in given, f"line {call.lineno}: newline= is not said"


def test_tables_end_their_lines_as_every_other_file_does() -> None:
    for path in FILES:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "csv.writer":
                assert any(word.arg == "lineterminator" for word in node.keywords), path
