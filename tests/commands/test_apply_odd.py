"""`ganrun apply` on odd and too large files: such a picture is left out with its reason, and the others are done."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ganrun.cli.main import main
from ganrun.commands.apply import work
from ganrun.common.pixels import read_whole, usable_dpi
from tests.commands.test_apply import draw, said
from tests.common.test_pixels import tiff


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ganrun"])


def bicubic(*words: str) -> int:
    return main(["apply", "model=bicubic", "input=in", "out=out", *words])


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_a_resolution_that_no_file_can_hold_is_not_copied(kind: Any) -> None:
    Path("in").mkdir()
    pixels = np.zeros((12, 14), kind)
    Path("in/a.tif").write_bytes(tiff(pixels, resolution=((2**32 - 1, 1), (300, 1)), resolutionunit="inch"))
    assert bicubic() == 0
    assert read_whole(Path("out/a.png").read_bytes()).about.dpi is None
    assert usable_dpi((300, 300.0)) == (300, 300)
    assert not any(map(usable_dpi, [None, (300,), (float("nan"), 72), (float("inf"), 72), (0, 72), ("a", "b")]))


@pytest.mark.parametrize("name", ["write_picture", "write_strip"])
def test_whatever_a_writer_raises_leaves_one_picture_out(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    draw(Path("in/a.png"), (20, 14))
    draw(Path("in/b.png"), (20, 14))
    write = getattr(work, name)

    def fails_for_one(pixels: Any, path: Path, *others: Any) -> None:
        if path.name == "a.png":
            raise OverflowError("too large for a header")
        write(pixels, path, *others)

    monkeypatch.setattr(work, name, fails_for_one)
    assert bicubic("strips=true") == 0
    lines = said(capsys)
    assert "1 picture in out" in lines
    assert "a.png: it cannot be written: too large for a header" in lines
