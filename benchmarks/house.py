"""The shape of ganrun's code in numbers: rooms, arrows between them, lengths, and what one command line builds.

python benchmarks/house.py                            # this working tree
python benchmarks/house.py --at 6e8d15a bc3da64 .     # commits side by side; . is the working tree
python benchmarks/house.py --who                      # besides: which functions composed and built
python benchmarks/house.py --startup                  # besides: CPU seconds of a start, paired with the bare imports

A room is a file or a folder of ganrun/ but for the package's own two files, __init__ (the Python face) and __main__.
An arrow is an import from one room to another, anywhere in a file, once a pair; imports that only a type checker sees,
and names that importlib gets at run time, do not count. A level is a step of the longest chain of arrows, with the
rooms of a circle taken as one.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import io
import json
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LINE = ["train", "model=dcgan", "dataset=digits", "steps=1"]
RESUMED = ["train", "resume=run", "steps=2"]
PINNED = ["precision=fp32", "threads=1", "device=cpu"]  # nothing is measured at the start to choose them
IMPORTS = ["-c", "import torch, torchvision"]
ROUNDS = 5
DIRECTION = [  # a room imports rooms to its left
    "common", "networks", "augmentations", "losses", "systems", "data", "config", "checkpoints", "evaluation",
    "training", "commands", "cli",
]  # fmt: skip
FACE = ("__init__", "__main__")
SHARED = ("command", "catalogue")  # what a command is, and the list of all
COMMANDS = {  # where the modules of each command lay before there was a folder of commands
    "train": ["training"],
    "sample": ["sampling"],
    "synthesize": ["synthesis"],
    "evaluate": ["evaluation"],
    "doctor": ["doctor"],
    "plot": ["curves"],
    "info": ["info"],
    "apply": ["applying", "album", "tiling"],
    "study": ["study", "study_data", "study_report", "plots"],
    "bench": ["bench", "bench_report", "naive"],
}
COUNTER = """
import json, os, runpy, sys, traceback
import torch
from hydra._internal.config_loader_impl import ConfigLoaderImpl
package = os.path.join(sys.argv.pop(1), "ganrun") + os.sep
file = open(sys.argv.pop(1), "a")
skipped = tuple(package + name for name in ("build.py", "config" + os.sep + "build.py", "systems" + os.sep))

def note(kind):
    frames = [frame for frame in traceback.extract_stack() if frame.filename.startswith(package)]
    frame = [frame for frame in frames if not frame.filename.startswith(skipped)][-1]
    file.write(json.dumps([kind, frame.filename[len(package):] + ":" + frame.name]) + chr(10))
    file.flush()

compose, init = ConfigLoaderImpl.load_configuration, torch.nn.Module.__init__

def counted_compose(self, *args, **options):
    note("composition")
    return compose(self, *args, **options)

def counted_init(self, *args, **options):
    if any(cls.__name__ == "System" and cls.__module__.startswith("ganrun.") for cls in type(self).__mro__):
        note("meta" if torch.empty(0).device.type == "meta" else "real")
    init(self, *args, **options)

ConfigLoaderImpl.load_configuration, torch.nn.Module.__init__ = counted_compose, counted_init
runpy.run_module("ganrun", run_name="__main__", alter_sys=True)
"""

Graph = dict[str, set[str]]


# -- what the files say -----------------------------------------------------------------------------------------


@contextlib.contextmanager
def tree_of(commit: str) -> Iterator[Path]:
    """The files of a commit in a folder of their own; `.` is the working tree as it is."""
    if commit == ".":
        yield ROOT
        return
    packed = subprocess.run(["git", "archive", "--format=tar", commit], cwd=ROOT, check=True, stdout=subprocess.PIPE)
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
            archive.extractall(folder, filter="data")
        yield Path(folder).resolve()


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def place_of(path: Path, package: Path) -> tuple[str, ...]:
    """ganrun/systems/gan.py -> ("systems", "gan"), ganrun/data/__init__.py -> ("data",), ganrun/__init__.py -> ()."""
    parts = path.relative_to(package).with_suffix("").parts
    return parts[:-1] if parts[-1] == "__init__" else parts


def imports(path: Path, package: Path) -> set[tuple[str, ...]]:
    """The places in ganrun that a file imports at run time: ("systems", "gan", "GAN") as far as they are written."""
    tree, found = parsed(path), set()
    unseen = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for statement in node.body
        for inner in ast.walk(statement)
    }
    here = ("ganrun", *path.relative_to(package).parts[:-1])
    for node in ast.walk(tree):
        if id(node) in unseen:
            continue
        if isinstance(node, ast.Import):
            found |= {tuple(alias.name.split(".")) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level + 1] if node.level else ()
            base += tuple((node.module or "").split(".")) if node.module else ()
            found |= {(*base, alias.name) for alias in node.names}
    return {place[1:] for place in found if place[0] == "ganrun"}


def room_of(place: tuple[str, ...], package: Path) -> str:
    """The file or folder of ganrun/ that a place lies in; what is no module is a name of ganrun/__init__.py."""
    if place and ((package / place[0]).is_dir() or (package / f"{place[0]}.py").exists()):
        return place[0]
    return "__init__"


def arrows(tree: Path) -> Graph:
    """Each room, and the other rooms that it imports."""
    package = tree / "ganrun"
    graph: Graph = {}
    for path in sorted(package.rglob("*.py")):
        room = room_of(place_of(path, package), package)
        wanted = {room_of(place, package) for place in imports(path, package)}
        if room not in FACE:
            graph.setdefault(room, set()).update(wanted - {room, *FACE})
    return graph


def reachable(graph: Graph) -> Graph:
    """Each room, and all rooms that a chain of arrows leads to."""
    found: Graph = {}
    for start in graph:
        seen: set[str] = set()
        waiting = [start]
        while waiting:
            fresh = graph.get(waiting.pop(), set()) - seen
            seen |= fresh
            waiting += fresh
        found[start] = seen
    return found


def circles(graph: Graph) -> list[list[str]]:
    """The sets of rooms that reach one another."""
    far = reachable(graph)
    groups = {frozenset({room, *(other for other in far[room] if room in far.get(other, ()))}) for room in graph}
    return sorted(sorted(group) for group in groups if len(group) > 1)


def levels(graph: Graph) -> int:
    """Rooms on the longest chain of arrows; a circle counts as one."""
    name = {room: "+".join(circle) for circle in circles(graph) for room in circle}

    @cache
    def height(whole: str) -> int:
        targets = {name.get(t, t) for room in graph if name.get(room, room) == whole for t in graph[room]} - {whole}
        return 1 + max(map(height, targets), default=0)

    return max(height(name.get(room, room)) for room in graph)


def upwards(graph: Graph) -> list[str] | None:
    """The arrows that do not lead to the left in DIRECTION; None for code from before these rooms."""
    if not {"common", "commands", "training"} <= graph.keys():
        return None
    order = {room: position for position, room in enumerate(DIRECTION)}
    return [f"{a} -> {b}" for a in sorted(graph) for b in sorted(graph[a]) if order.get(b, 99) > order.get(a, -1)]


def between_commands(tree: Path) -> list[str]:
    """Imports from a module of one command to a module of another."""
    package, found = tree / "ganrun", set()
    owners = {(module,): command for command, modules in COMMANDS.items() for module in modules}
    if (package / "commands").is_dir():
        owners = {("commands", path.stem): path.stem for path in (package / "commands").iterdir()}
        owners = {place: command for place, command in owners.items() if command not in SHARED}
    depth = len(next(iter(owners)))
    for path in sorted(package.rglob("*.py")):
        here = place_of(path, package)[:depth]
        for place in imports(path, package):
            if here in owners and owners.get(place[:depth], owners[here]) != owners[here]:
                found.add(f"{here[-1]} -> {place[depth - 1]}")
    return sorted(found)


def rows_of_the_rule(tree: Path) -> int | None:
    """Rows of the table in tests/ that says who may import whom."""
    for path in sorted((tree / "tests").rglob("test_house.py")):
        for node in ast.walk(parsed(path)):
            target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
            if isinstance(target, ast.Name) and target.id in ("MAY_IMPORT", "DIRECTION"):
                value = getattr(node, "value", None)
                if isinstance(value, ast.Dict):
                    return len(value.keys)
                if isinstance(value, (ast.List, ast.Tuple)):
                    return len(value.elts)
    return None


def spread(lengths: list[int]) -> str:
    ordered = sorted(lengths)
    return " / ".join(str(ordered[min(len(ordered) - 1, int(len(ordered) * share))]) for share in (0.5, 0.9, 1))


def function_lengths(files: list[Path]) -> list[int]:
    """Lines of each function and method, from `def` to its last line."""
    return [
        (node.end_lineno or 0) - node.lineno + 1
        for path in files
        for node in ast.walk(parsed(path))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    ]


# -- what one command line does ---------------------------------------------------------------------------------


def environment(tree: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}


Events = list[tuple[str, str]]


def played(tree: Path, *words: str) -> tuple[Events, Events]:
    """(composition | meta | real, who asked for it) for each of what LINE composes and builds, in order.

    The same of RESUMED, which goes on with the run of LINE.
    """
    with tempfile.TemporaryDirectory() as folder:
        return noted(tree, folder, [*LINE, "out=run", *words]), noted(tree, folder, RESUMED)


def noted(tree: Path, folder: str, line: list[str]) -> Events:
    notes = Path(folder) / f"notes of {line[1]}"
    call = [sys.executable, "-c", COUNTER, str(tree), str(notes), *line]
    done = subprocess.run(call, cwd=folder, env=environment(tree), capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(line)} ended with {done.returncode}: {done.stderr[-2000:]}")
    return [(kind, who) for kind, who in map(json.loads, notes.read_text(encoding="utf-8").splitlines())]


def builds(events: Events) -> str:
    meta, real = (sum(kind == wanted for kind, _ in events) for wanted in ("meta", "real"))
    return f"{meta + real} ({meta} on meta, {real} real)"


def table_of(tree: Path, who: bool) -> dict[str, str]:
    """A row's name -> its value for one tree."""
    package = tree / "ganrun"
    files, graph = sorted(package.rglob("*.py")), arrows(tree)
    up, round_trips, sideways = upwards(graph), circles(graph), between_commands(tree)
    (free, resumed), (pinned, _) = played(tree), played(tree, *PINNED)
    lengths = [len(path.read_text(encoding="utf-8").splitlines()) for path in files]
    rows = {
        "entries in ganrun/": str(len([path for path in package.iterdir() if path.name != "__pycache__"])),
        "levels of imports between rooms": str(levels(graph)),
        "arrows between rooms": str(sum(map(len, graph.values()))),
        "upward arrows": "n/a" if up is None else str(len(up)),
        "circles between rooms": str(len(round_trips)),
        "imports from command to command": str(len(sideways)),
        "rows of the import rule": str(rows_of_the_rule(tree) or "none"),
        "function length p50 / p90 / max": spread(function_lengths(files)),
        "file length median / max": f"{statistics.median(lengths):g} / {max(lengths)}",
        f"compositions of `ganrun {' '.join(LINE)}`": str(sum(kind == "composition" for kind, _ in free)),
        "system builds of that line": builds(free),
        f"system builds with {' '.join(PINNED[:2])}": builds(pinned),
        f"system builds of `ganrun {' '.join(RESUMED)}`": builds(resumed),
    }
    for title, found in (("upward", up or []), ("circle", map(" <-> ".join, round_trips)), ("commands", sideways)):
        for line in found:
            print(f"{title}: {line}", file=sys.stderr)
    for kind, place in free if who else ():
        print(f"{kind}: {place}", file=sys.stderr)
    return rows


# -- CPU seconds of a start -------------------------------------------------------------------------------------


def cpu_seconds(arguments: list[str], folder: str, tree: Path) -> float:
    """User and system seconds of one Python process, with the children that it has waited for."""
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    env = {name: value for name, value in environment(tree).items() if name != "PYTHONDONTWRITEBYTECODE"}
    child = subprocess.Popen([sys.executable, *arguments], cwd=folder, env=env, **quiet)  # type: ignore[call-overload]
    said = child.stderr.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    child.stderr.close()
    if child.returncode:
        raise SystemExit(f"{arguments} ended with {child.returncode}: {said.decode()[-2000:]}")
    return usage.ru_utime + usage.ru_stime


def startup(tree: Path) -> list[str]:
    """Medians of ROUNDS rounds: the imports, a training of one step, a sample. A first round is not counted."""
    with tempfile.TemporaryDirectory() as folder:
        train = ["-m", "ganrun", "train", "steps=1", *PINNED]
        sample = ["-m", "ganrun", "sample", "ckpt=run0", "device=cpu", "threads=1", "overwrite=true"]
        found: dict[str, list[float]] = {"import torch, torchvision": [], "train steps=1": [], "sample": []}
        for number in range(ROUNDS + 1):
            for name, words in zip(found, (IMPORTS, [*train, f"out=run{number}"], sample), strict=True):
                found[name].append(cpu_seconds(words, folder, tree))
    bare, *others = found.items()
    lines = [f"{bare[0]:28}{measured(bare[1][1:])}"]
    for name, seconds in others:
        beyond = [taken - base for taken, base in zip(seconds[1:], bare[1][1:], strict=True)]
        lines.append(f"{'ganrun ' + name:28}{measured(seconds[1:])}   beyond the imports {measured(beyond)}")
    return lines


def measured(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):.2f} s [{min(seconds):.2f} .. {max(seconds):.2f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--at", nargs="+", default=["."], metavar="COMMIT", help="commits to show; . is this tree")
    parser.add_argument("--who", action="store_true", help="say which functions composed and built")
    parser.add_argument("--startup", action="store_true", help="measure CPU seconds of a start too")
    asked = parser.parse_args()
    tables, starts = [], []
    for commit in asked.at:
        with tree_of(commit) as tree:
            print(f"# {commit}", file=sys.stderr)
            tables.append(table_of(tree, asked.who))
            starts += [f"\n{commit}: CPU seconds, median of {ROUNDS} [min .. max]", *startup(tree)] * asked.startup
    print("| | " + " | ".join("this tree" if commit == "." else commit for commit in asked.at) + " |")
    print("|---" * (len(asked.at) + 1) + "|")
    for name in tables[0]:
        print(f"| {name} | " + " | ".join(table[name] for table in tables) + " |")
    print("\n".join(starts))


if __name__ == "__main__":
    main()
