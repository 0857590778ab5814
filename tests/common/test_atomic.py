"""Files are made as a whole, under names that nobody guesses, and where they were meant to be."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ganrun.common import atomic
from ganrun.common.atomic import append, atomic_write, clear, remove, same_file, write_bytes, write_text

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="links and pipes as Unix has them")


@pytest.fixture(autouse=True, params=[True, False], ids=["by descriptor", "by path, as on Windows"])
def held(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    assert atomic.HAS_DIR_FD
    monkeypatch.setattr(atomic, "HAS_DIR_FD", request.param)
    return bool(request.param)


def test_a_file_is_there_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    write_text(tmp_path / "x", "数据\n")
    with pytest.raises(ZeroDivisionError), atomic_write(tmp_path / "x") as file:
        file.write(b"half" * (1 // 0))
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("x", "数据\n".encode())]


def test_what_is_not_finished_has_a_name_that_nobody_guesses(tmp_path: Path) -> None:
    seen = set()
    for _ in range(3):
        with atomic_write(tmp_path / "x"):
            (name,) = {path.name for path in tmp_path.iterdir()} - {"x"}
            seen.add(name)
    assert len(seen) == 3
    assert all(atomic.UNFINISHED.fullmatch(name)["of"] == "x" for name in seen)  # type: ignore[index]


def test_a_guessed_name_is_refused_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atomic.secrets, "token_hex", lambda count: "00" * count)
    (tmp_path / "mine").write_text("mine")
    (tmp_path / ".x.0000000000000000.part").symlink_to("mine")
    with pytest.raises(FileExistsError):
        write_bytes(tmp_path / "x", b"theirs")
    (tmp_path / ".y.0000000000000000.part").symlink_to("nothing")
    with pytest.raises(FileExistsError):
        write_bytes(tmp_path / "y", b"theirs")
    assert (tmp_path / "mine").read_text() == "mine"
    assert not (tmp_path / "nothing").exists()


def test_a_link_is_replaced_never_written_through(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "x").symlink_to("mine")
    write_text(tmp_path / "x", "ours")
    assert (tmp_path / "mine").read_text() == "mine"
    assert not (tmp_path / "x").is_symlink()


def test_no_folder_below_the_users_own_is_a_link(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/step.pt").write_text("mine")
    (tmp_path / "real").mkdir()
    (tmp_path / "run").symlink_to("real")  # the user's own
    write_text(tmp_path / "run/grids/deep/1.png", "ours", tmp_path / "run")
    assert (tmp_path / "real/grids/deep/1.png").read_text() == "ours"
    (tmp_path / "run/checkpoints").symlink_to(tmp_path / "mine")
    for act in (
        lambda path: write_text(path, "theirs", tmp_path / "run"),
        lambda path: remove(path, tmp_path / "run"),
        lambda path: append(path, tmp_path / "run"),
        lambda path: same_file(path, "last.pt", tmp_path / "run"),
    ):
        with pytest.raises(NotADirectoryError, match="is a link, or no folder"):
            act(tmp_path / "run/checkpoints/step.pt")
    clear(tmp_path / "run/checkpoints", tmp_path / "run")
    assert {path.name: path.read_text() for path in (tmp_path / "mine").iterdir()} == {"step.pt": "mine"}


def test_a_folder_that_was_removed_does_not_come_back(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_text(tmp_path / "run/grids/1.png", "ours", tmp_path / "run")
    remove(tmp_path / "run/checkpoints/1.pt", tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("links", [True, False])
def test_last_is_a_second_name_or_a_copy(links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object, **__: object) -> None:
        raise OSError("no hard links here")

    if not links:
        monkeypatch.setattr(os, "link", none)
    (tmp_path / "step.pt").write_text("weights")
    for _ in range(2):  # the second time it is the same file already
        same_file(tmp_path / "step.pt", "last.pt", tmp_path)
        assert (tmp_path / "last.pt").read_text() == "weights"
        assert os.path.samefile(tmp_path / "step.pt", tmp_path / "last.pt") is links
    assert {path.name for path in tmp_path.iterdir()} == {"step.pt", "last.pt"}


def test_nothing_is_added_to_a_link_a_pipe_or_a_file_with_two_names(tmp_path: Path, held: bool) -> None:
    with append(tmp_path / "log") as file:
        file.write("one\n")
    with append(tmp_path / "log") as file:
        file.write("two\n")
    assert (tmp_path / "log").read_text() == "one\ntwo\n"
    (tmp_path / "link").symlink_to("log")
    (tmp_path / "dead").symlink_to("nothing")
    os.mkfifo(tmp_path / "pipe")
    for name, why in (("link", "is a symbolic link"), ("dead", "is a symbolic link"), ("pipe", "is a pipe")):
        with pytest.raises(OSError, match=why):
            append(tmp_path / name)
    os.link(tmp_path / "log", tmp_path / "twin")
    with pytest.raises(OSError, match="second name"):
        append(tmp_path / "log")
    assert (tmp_path / "log").read_text() == "one\ntwo\n"
    assert not (tmp_path / "nothing").exists()


def test_only_our_own_unfinished_files_are_cleared(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    for name in (".x.0123456789abcdef.part", ".x.part", ".y.0123456789abcdef.part"):
        (tmp_path / name).write_text("half")
    for name in ("x.part", ".part", ".x.part.txt"):
        (tmp_path / name).write_text("mine")
    (tmp_path / ".z.0123456789abcdef.part").symlink_to("mine")
    (tmp_path / ".d.0123456789abcdef.part").mkdir()
    clear(tmp_path, older=60)
    assert len(list(tmp_path.iterdir())) == 9
    clear(tmp_path, of="y")
    assert len(list(tmp_path.iterdir())) == 8
    clear(tmp_path)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"mine", "x.part", ".part", ".x.part.txt", ".z.0123456789abcdef.part", ".d.0123456789abcdef.part"}
