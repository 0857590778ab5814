"""Files that somebody else may have made: what is no file, too large or no text ends in one clear error."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ganrun.common.regular_files import read_regular, read_text


def test_a_file_is_read_up_to_its_limit(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    assert read_regular(path, 5) == b"12345"
    with pytest.raises(ValueError, match="larger than the limit of 4 bytes"):
        read_regular(path, 4)


def test_a_link_is_followed_to_its_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12")
    (tmp_path / "link").symlink_to("file")
    assert read_regular(tmp_path / "link", 9) == b"12"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="pipe is a pipe, not a file"):
        read_regular(tmp_path / "pipe", 9)


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="this system has no devices in its folders")
def test_a_device_is_not_read() -> None:
    with pytest.raises(ValueError, match="/dev/zero is a device"):
        read_regular(Path("/dev/zero"), 9)


def test_a_folder_and_a_missing_file_are_said(tmp_path: Path) -> None:
    with pytest.raises((ValueError, OSError), match=r"folder|Permission"):
        read_regular(tmp_path, 9)
    with pytest.raises(FileNotFoundError):
        read_regular(tmp_path / "nothing", 9)


def test_what_is_not_utf8_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"ab\xff")
    with pytest.raises(ValueError, match="not text in UTF-8"):
        read_text(tmp_path / "file", 9)
    (tmp_path / "file").write_text("数据", encoding="utf-8")
    assert read_text(tmp_path / "file", 9) == "数据"
