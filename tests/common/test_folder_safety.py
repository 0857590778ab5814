"""Which folders are checked for links before anything is written, and what the refusal says."""

from __future__ import annotations

from pathlib import Path

import pytest

from ganrun.common.errors import UserError
from ganrun.common.folder_safety import ABOVE, refuse_unsafe, refuse_unsafe_around


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run's folder with a link in it."""
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    (run / "checkpoints" / "last.pt").touch()
    (run / "metrics.jsonl").symlink_to(tmp_path / "elsewhere")
    return run


def test_four_folders_above_a_place_are_checked(run: Path) -> None:
    assert ABOVE == 4
    with pytest.raises(UserError, match="symbolic link"):
        refuse_unsafe_around(run / "a/b/c/d")
    refuse_unsafe_around(run / "a/b/c/d/e")


def test_dots_neither_hide_nor_name_a_run(run: Path) -> None:
    (run / "a").mkdir()
    with pytest.raises(UserError, match="symbolic link"):
        refuse_unsafe_around(run / "a/../a/../a/../a/../b")
    refuse_unsafe_around(run / "a/../../other")


def test_a_run_is_found_behind_a_link(run: Path, tmp_path: Path) -> None:
    (run / "grids").mkdir()
    (tmp_path / "short").symlink_to(run / "grids")
    with pytest.raises(UserError, match="symbolic link"):
        refuse_unsafe_around(tmp_path / "short" / "new")


def test_the_users_own_link_to_another_disk_gets_a_way_out(tmp_path: Path) -> None:
    run, disk = tmp_path / "run", tmp_path / "disk"
    run.mkdir()
    disk.mkdir()
    (run / "checkpoints").symlink_to(disk)
    with pytest.raises(UserError, match="move the whole run there") as error:
        refuse_unsafe(run)
    assert "\n" not in str(error.value)
    (run / "checkpoints").unlink()
    (tmp_path / "link").symlink_to(run)
    refuse_unsafe(tmp_path / "link")  # the way out works
