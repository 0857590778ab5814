"""Mistakes in a user's --config-dir: one line that names the file, and the line in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ganrun.cli.main import main

HINGE = "_target_: ganrun.losses.adversarial.Hinge\n"
BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{two}: &{two} [{', '.join([f'*{one}'] * 9)}]\n" for one, two in zip("abcdefghijk", "bcdefghijkl", strict=True)
)
FILES: dict[str, tuple[bytes, str]] = {
    "a bracket": (b"# x\npenalties: {a: [1\n", "line 3: a bracket that is not closed"),
    "a colon": (b"# x\n_target_: a: b\n", "line 2: a colon too many"),
    "a quote": (b"a: 'x\n", "line 2: a quote that is not closed"),
    "a tab": (b"a:\n\tb: 1\n", "line 2: a tab"),
    "latin-1": ("# x\na: café\n".encode("latin-1"), "line 2: not UTF-8 text"),
    "utf-16": (HINGE.encode("utf-16"), "line 1: not UTF-8 text"),
    "binary": (bytes(range(256)), "not UTF-8 text"),
    "a control character": (b"a: 1\nb: \x07\n", "line 2: a control character"),
    "the same key twice": (HINGE.encode() + b"a: 1\na: 2\n", "line 3: the key a is there twice"),
    "a list": (b"- 1\n- 2\n", "line 1: it holds a list"),
    "a number": (b"42\n", "line 1: it holds only '42'"),
    "two documents": (b"a: 1\n---\nb: 2\n", "line 2: a second document"),
    "an alias bomb": (BOMB.encode(), "line 5: more than 10000 settings, what aliases repeat included"),
    "an alias of itself": (b"a: &a [*a]\n", "line 1: *a stands inside of itself"),
    "an alias of nothing": (b"a: *b\n", "line 1: an alias *b without its &b"),
    "2,000 brackets": (b"a: " + b"[" * 2000 + b"]" * 2000, "line 1: "),
    "a tag that calls": (b"a: !!python/object/apply:os.getcwd []\n", "line 1: the tag "),
    "a circle": (b"defaults:\n  - other\n", "its defaults list leads back to itself"),
    "defaults that are no list": (b"defaults: 3\n", "its defaults must be a list"),
    "defaults that are not there": (b"defaults:\n  - nowhere\n", "its defaults list names loss/nowhere"),
}
MODULES = {
    "1/0": "line 1: ZeroDivisionError: division by zero",
    "x = 1\nraise SystemExit": "line 2: SystemExit",
    "import sys; sys.exit('bye')": "line 1: SystemExit: bye",
    "def f(:": "line 1: invalid syntax",
    "import nowhere_at_all": "No module named 'nowhere_at_all'",
    "class Loss:\n    pass": "is not a AdversarialLoss",
    "from ganrun.losses.adversarial import Hinge as H\nclass Loss(H):\n  def __init__(self):\n    self.x.y": "line 4",
}


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine/loss").mkdir(parents=True)
    (tmp_path / "mine/loss/other.yaml").write_text("defaults:\n  - mine\n")
    return tmp_path / "mine"


def refused(capfd: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["train", "model=mlp", "device=cpu", "dataset.limit=64", "dry_run=true", *words]) == 2
    said = capfd.readouterr().err
    assert len(said.splitlines()) == 1, said
    return said


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_cannot_be_used_is_named_with_its_line(name: str, mine: Path, capfd) -> None:
    data, expected = FILES[name]
    (mine / "loss/mine.yaml").write_bytes(data)
    said = refused(capfd, "--config-dir", "mine", "loss=mine")
    assert expected in said
    assert str(mine / "loss") in said


def test_a_broken_file_that_nobody_chose_is_no_hindrance(mine: Path) -> None:
    (mine / "loss/mine.yaml").write_bytes("# caf\xe9\na: [".encode("latin-1"))
    (mine / "loss/folder.yaml").mkdir()
    words = ["--config-dir", "mine", "loss=hinge", "model=mlp", "device=cpu", "dataset.limit=64", "dry_run=true"]
    assert main(["train", *words]) == 0
    assert main(["train", "--config-dir", "mine", "--help"]) == 0


@pytest.mark.parametrize("code", MODULES)
def test_a_module_that_breaks_is_named_with_its_line(
    code: str, mine: Path, capfd, request: pytest.FixtureRequest
) -> None:
    module = f"broken_{abs(hash(code))}"
    (mine / f"{module}.py").write_text(code)
    (mine / "loss/mine.yaml").write_text(f"_target_: {module}.Loss\n")
    said = refused(capfd, "--config-dir", "mine", "loss=mine")
    assert MODULES[code] in said
    assert module in said


@pytest.mark.parametrize(("folder", "said"), [("nowhere", "no such folder"), ("file", "a file"), ("empty", "is empty")])
def test_a_config_dir_that_holds_nothing_is_refused(folder: str, said: str, mine: Path, capfd) -> None:
    Path("file").write_text("x")
    Path("empty").mkdir()
    assert said in refused(capfd, "--config-dir", folder)
