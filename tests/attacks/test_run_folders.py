"""A run's folder made by somebody else: nothing in it leads a write elsewhere, and nothing in it makes us wait."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import QUICK, SMALL

from ganrun.cli.main import main
from ganrun.common import folder_safety, folders

WORDS = ["device=cpu"]
pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="links and pipes as Unix has them")


@pytest.fixture
def run(good_run: Path, here: Path) -> Path:
    """A copy of a good run, to be spoilt."""
    return Path(shutil.copytree(good_run, here / "run"))


@pytest.fixture
def victim(here: Path) -> Iterator[Path]:
    """What belongs to the user: a file and a folder with a file in it. Nothing may change there."""
    mine = here.parent / "mine"
    (mine / "kept").mkdir(parents=True)
    (mine / "start.sh").write_text("echo hello\n")
    for name in ("step_000001.pt", "step_000000.pt", ".step_000009.pt.part", "best.pt", "real.png"):
        (mine / "kept" / name).write_text("mine")
    before = state_of(mine)
    yield mine
    assert state_of(mine) == before


def state_of(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Every file of a folder and what is in it; links as they are."""
    found = {}
    for path in sorted(folder.rglob("*")):
        seen = path.lstat()
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        found[str(path)] = (seen.st_mode, seen.st_mtime_ns if path.is_file() else 0, content)
    return found


def plant(path: Path, what: str, victim: Path) -> None:
    """A member of the folder that its maker chose."""
    path.parent.mkdir(exist_ok=True)
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    if what == "link":
        path.symlink_to(victim / "start.sh")
    elif what == "link to a folder":
        path.symlink_to(victim / "kept")
    elif what == "dead link":
        path.symlink_to(victim / "new")
    elif what == "second name":
        os.link(victim / "start.sh", path)
    elif what == "pipe":
        os.mkfifo(path)
    elif what == "socket":
        here = os.getcwd()
        os.chdir(path.parent)  # a socket's name may have 100 letters
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
        os.chdir(here)


MEMBERS = [
    ("train.log", "link"),
    ("train.log", "dead link"),
    ("train.log", "pipe"),
    ("train.log", "second name"),
    ("metrics.jsonl", "link"),
    ("metrics.jsonl", "pipe"),
    ("metrics.jsonl", "second name"),
    (".metrics.jsonl.part", "link"),
    ("status.json", "link"),
    (".status.json.part", "dead link"),
    ("scores.json", "pipe"),
    (".lock", "link"),
    (".lock", "dead link"),
    (".lock", "second name"),
    (".lock", "socket"),
    ("samples.png", "link"),
    (".samples.png.part", "link"),
    ("curves.png", "dead link"),
    ("events.out.tfevents.1.host.2.0", "link"),
    ("events.out.tfevents.1.host.2.0", "second name"),
    ("events.out.tfevents.1.host.2.0", "pipe"),
    ("steps_000011-000015.pt.trace.json.gz", "dead link"),
    ("checkpoints/best.json", "link"),
    ("checkpoints/.step_000002.pt.part", "link"),
    ("checkpoints/step_000002.pt", "dead link"),
    ("checkpoints/step_000000.pt", "pipe"),
    ("grids", "link to a folder"),
    ("grids", "dead link"),
    ("grids/real.png", "link"),
    ("grids/.step_000002.png.part", "link"),
    ("grids/step_000002.png", "socket"),
    (".hydra", "link to a folder"),
    (".hydra/hydra.yaml", "link"),
    (".hydra/config.yaml", "pipe"),
    ("anything at all", "link to a folder"),
]
EVERYWHERE = [("metrics.jsonl", "link"), (".samples.png.part", "link"), ("grids", "link to a folder")]
COMMANDS = {
    "resume=folder": ["train", "resume=run", "steps=2"],
    "resume=file": ["train", "resume=run/checkpoints/step_000001.pt", "steps=2"],
    "resume=auto": ["train", "model=mlp", *QUICK, *SMALL, "steps=2", "out=run", "resume=auto"],
    "at its end": ["train", "resume=run"],
    "sample": ["sample", "ckpt=run", "n=2", "device=cpu"],
    "sample out=": ["sample", "ckpt=run", "n=2", "device=cpu", "out=run/grids/mine.png"],
    "plot": ["plot", "run=run"],
}


@pytest.mark.parametrize(("member", "what"), MEMBERS)
def test_a_strange_member_is_refused_before_anything_is_written(
    member: str, what: str, run: Path, victim: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    plant(run / member, what, victim)
    before = state_of(run)
    for name, words in COMMANDS.items() if (member, what) in EVERYWHERE else [("resume", COMMANDS["resume=folder"])]:
        capfd.readouterr()
        code, said = main(list(words)), capfd.readouterr()
        assert code == 2, (name, said)
        assert len(said.err.splitlines()) == 1, (name, said.err)
        assert f"run: {member} in it is a" in said.err, (name, said.err)
        assert "remove it" in said.err
        assert state_of(run) == before, name


def test_checkpoints_behind_a_link_are_never_deleted(run: Path, here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (run / "checkpoints").rename(here.parent / "theirs")
    (run / "checkpoints").symlink_to(here.parent / "theirs")
    before = state_of(here.parent / "theirs")
    assert main(["train", "resume=run", "steps=3"]) == 2
    assert "run: checkpoints in it is a symbolic link" in capfd.readouterr().err
    assert state_of(here.parent / "theirs") == before


def test_a_sweeps_folder_is_looked_at_before_hydra_writes_there(
    run: Path, victim: Path, here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ["-m", "seed=0,1", "model=mlp", *QUICK, *SMALL, "out=sweep", "resume=auto"]
    for member in ("multirun.yaml", "0-mlp-non_saturating/train.log", "1-mlp-non_saturating"):
        shutil.rmtree(here / "sweep", ignore_errors=True)
        shutil.copytree(run, here / "sweep/0-mlp-non_saturating")
        plant(here / "sweep" / member, "link to a folder" if member[0] == "1" else "link", victim)
        before = state_of(here / "sweep")
        assert main(["train", *words]) == 2
        assert f"{member} in it is a symbolic link" in capfd.readouterr().err
        assert state_of(here / "sweep") == before


def test_an_honest_run_goes_on_in_a_folder_that_the_user_links_to(run: Path, here: Path) -> None:
    """last.pt is a second name of a checkpoint, and the folder itself may be a link."""
    run.rename(here.parent / "elsewhere")
    run.symlink_to(here.parent / "elsewhere")
    assert main(["train", "resume=run", "steps=2", "device=cpu"]) == 0
    assert main(["sample", "ckpt=run", "n=2", "device=cpu"]) == 0
    assert main(["train", "resume=run", "steps=3", "device=cpu"]) == 0
    assert (here.parent / "elsewhere/checkpoints/last.pt").stat().st_nlink == 2
    assert (here.parent / "elsewhere/grids/step_000002.png").exists()
    assert (here.parent / "elsewhere/samples.png").exists()
    assert not list(here.parent.rglob("*.part"))


# -- what is swapped after the look -----------------------------------------------------------------------------------


@pytest.fixture
def unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the members came after they were looked for."""
    monkeypatch.setattr(folders, "refuse_unsafe", lambda *_: None)
    monkeypatch.setattr(folder_safety, "refuse_unsafe", lambda *_: None)


@pytest.mark.usefixtures("unseen")
@pytest.mark.parametrize(
    ("member", "what"),
    [
        ("status.json", "link"),
        (".status.json.part", "link"),
        (".metrics.jsonl.part", "link"),
        (".lock", "link"),
        ("train.log", "link"),
        ("train.log", "pipe"),
        ("checkpoints/last.pt", "link"),
        ("checkpoints/.step_000002.pt.part", "link"),
        ("checkpoints/.last.pt.part", "link"),
        ("checkpoints/best.json", "link"),
        ("grids", "link to a folder"),
        ("grids/step_000002.png", "link"),
        ("grids/.step_000002.png.part", "dead link"),
        ("samples.png", "link"),
        (".samples.png.part", "link"),
    ],
)
def test_our_own_writes_follow_nothing_even_so(member: str, what: str, run: Path, victim: Path) -> None:
    plant(run / member, what, victim)
    for words in (["train", "resume=run/checkpoints/step_000001.pt", "steps=2"], ["sample", "ckpt=run", "n=2"]):
        with contextlib.suppress(ValueError):  # logging's word for a log that cannot be opened
            main([*words, "device=cpu"])


@pytest.mark.usefixtures("unseen")
def test_checkpoints_behind_a_link_stay_even_so(run: Path, here: Path) -> None:
    (run / "checkpoints").rename(here.parent / "theirs")
    (run / "checkpoints").symlink_to(here.parent / "theirs")
    (here.parent / "theirs/step_000001.pt").rename(
        here.parent / "theirs/step_000007.pt"
    )  # of a later step: it would go
    before = state_of(here.parent / "theirs")
    assert main(["train", "resume=run/checkpoints/last.pt", "steps=2", "device=cpu"]) == 1
    assert state_of(here.parent / "theirs") == before


@pytest.mark.usefixtures("unseen")
def test_checkpoints_is_swapped_for_a_link_while_a_run_goes_on(
    run: Path, victim: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from ganrun.training.hooks.metrics import MetricsFile

    def swap(self: MetricsFile, trainer: object, record: object) -> None:
        if (run / "checkpoints").is_dir() and not (run / "checkpoints").is_symlink():
            (run / "checkpoints").rename(run / "away")
            (run / "checkpoints").symlink_to(victim / "kept")

    monkeypatch.setattr(MetricsFile, "on_step", swap)
    assert main(["train", "resume=run", "steps=3", "device=cpu"]) == 1
    assert "is a link, or no folder" in capfd.readouterr().err


# -- what is read -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        ["sample", "ckpt=pipe"],
        ["sample", "ckpt=/dev/zero"],
        ["train", "resume=pipe"],
        ["train", "init_from=pipe", "model=mlp", *QUICK, *SMALL],
        ["eval", "ckpt=pipe"],
        ["eval", "compare=[pipe]"],
        ["eval", "real=pipe", "fake=pipe"],
        ["apply", "ckpt=pipe", "input=pipe", "out=made"],
        ["synthesize", "ckpt=pipe", "out=made"],
        ["plot", "run=pipe"],
        ["augment-study", "ckpt=pipe"],
    ],
    ids=" ".join,
)
def test_a_pipe_or_a_device_is_no_file(words: list[str], here: Path, refused: Callable[..., str]) -> None:
    os.mkfifo(here / "pipe")
    refused(*words)


def test_a_pipe_or_a_dead_link_called_last_is_not_the_last_run(here: Path, refused: Callable[..., str]) -> None:
    for number, make in enumerate((os.mkfifo, lambda path: os.symlink("nowhere", path))):
        (here / f"outputs/{number}/checkpoints").mkdir(parents=True)
        make(here / f"outputs/{number}/checkpoints/last.pt")
    assert "there is no run" in refused("sample", "ckpt=last")
    assert "there is no run" in refused("train", "resume=last")


def test_a_folder_of_a_million_names_is_not_walked_to_its_end(
    run: Path, monkeypatch: pytest.MonkeyPatch, refused: Callable[..., str]
) -> None:
    monkeypatch.setattr(folder_safety, "MAX_MEMBERS", 20)
    for number in range(30):
        (run / f"grids/{number}").touch()
    assert "holds more than 20 files" in refused("train", "resume=run", "steps=2")


@pytest.mark.parametrize("what", ["link", "dead link", "pipe", "socket"])
def test_a_run_needs_a_folder(what: str, here: Path, victim: Path, refused: Callable[..., str]) -> None:
    plant(here / "spot", what, victim)
    assert "out=spot is a" in refused("train", "model=mlp", *QUICK, *SMALL, "out=spot")


def test_unfinished_files_of_a_killed_run_go_and_others_stay(run: Path) -> None:
    kept = [run / ".my notes.txt", run / ".part", run / "checkpoints/x.part"]
    gone = [
        run / ".status.json.0123456789abcdef.part",
        run / "grids/.step_000001.png.0123456789abcdef.part",
        run / "checkpoints/.step_000009.pt.0123456789abcdef.part",
        run / "checkpoints/.step_000009.pt.part",
    ]
    young = run / ".samples.png.0123456789abcdef.part"  # another command may be at it
    for path in (*kept, *gone, young):
        path.write_text("half")
    assert main(["train", "resume=run", "steps=2", "device=cpu"]) == 0
    assert [path for path in (*kept, young) if not path.exists()] == []
    assert [path for path in gone if path.exists()] == []
    os.utime(young, (0, 0))
    assert main(["sample", "ckpt=run", "n=2", "device=cpu"]) == 0
    assert not young.exists()
