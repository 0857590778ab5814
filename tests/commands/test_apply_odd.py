"""`ganrun apply` on odd and too large files: such a picture is left out with its reason, and the others are done."""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ganrun.cli.main import main
from ganrun.commands.apply import memory, tiling, work
from ganrun.commands.apply.baseline import Baseline
from ganrun.commands.apply.files import read_picture
from ganrun.commands.apply.network import Network
from ganrun.commands.apply.tile_plan import TilePlan
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


def test_an_output_of_too_many_values_is_left_out_before_it_is_made(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    draw(Path("in/large.png"), (50, 40))
    draw(Path("in/small.png"), (20, 14))
    monkeypatch.setattr(memory, "MOST", 300 * 280 * 4)
    monkeypatch.setattr(work, "read_picture", lambda *parts: seen.append(1) or read_picture(*parts))
    seen: list[int] = []
    assert bicubic("scale=8") == 0
    lines = said(capsys)
    assert "1 picture in out" in lines
    assert "large.png: its output would have 400x320 pixels, more than" in lines
    assert len(seen) == 1


def test_memory_is_counted_with_the_outputs_and_the_targets() -> None:
    """A grey picture may become colour, and it may have alpha: four values of a pixel."""
    draw(Path("a.png"), (20, 14))
    data = Path("a.png").read_bytes()
    assert memory.needed(data, None, 1) == (280, len(data) + 4 * 280 * (12 + 16))
    assert memory.needed(data, data, 3) == (280, 2 * len(data) + 4 * 280 * (12 + 9 * (16 + 100)))


def test_pictures_are_decoded_only_where_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(12):
        draw(Path(f"in/{number:02}.png"), (20, 14))
    most = 0

    class Counted(work.Work):
        def decode(self, item: Any) -> None:
            nonlocal most
            most = max(most, sum(each.admitted and not each.outcome.done() for each in [*self.pending]))
            super().decode(item)

    monkeypatch.setattr("ganrun.commands.apply.apply.Work", Counted)
    monkeypatch.setattr(memory, "room", lambda: 1)
    assert bicubic("workers=4") == 0
    assert most == 1


def test_tiles_stay_as_large_as_they_are_where_the_output_has_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(*shape: int) -> Tensor:
        raise tiling.NoCanvas

    plan = TilePlan(64)
    made = Network(Baseline("bicubic", 2), torch.device("cpu"), plan, 8, None, 1, 3)
    assert made.scale == 2
    draw(Path("a.png"), (100, 90), "RGB")
    picture = read_picture(Path("a.png").read_bytes(), 3)
    assert made.alone("a", picture).shape == (1, 3, 180, 200)
    monkeypatch.setattr(tiling, "blank", no_room)
    with pytest.raises(MemoryError):
        made.alone("a", picture)
    assert plan.side == 64


def test_a_filter_keeps_each_picture_grey_or_in_colour(capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(21):
        draw(Path(f"in/{number:02}.png"), (20, 14))
    draw(Path("in/last.png"), (20, 14), "RGB")
    assert bicubic("target=in", "scale=1") == 0
    assert [read_whole(Path(f"out/{name}.png").read_bytes()).values.shape[2] for name in ("00", "last")] == [1, 3]
    assert "converted" not in said(capsys)


def test_grey_pictures_beside_others_have_the_scores_of_a_table_of_colours() -> None:
    draw(Path("in/a.png"), (20, 14), "RGB")
    draw(Path("in/b.png"), (20, 14))
    draw(Path("want/a.png"), (40, 28), "RGB")
    draw(Path("want/b.png"), (40, 28))
    assert bicubic("target=want") == 0
    with open("out/results.csv", encoding="utf-8") as file:
        grey = next(row for row in csv.DictReader(file) if row["file"] == "b.png")
    # grey in colour has a Y of 219 levels of 255
    assert float(grey["psnr_y"]) - float(grey["psnr"]) == pytest.approx(20 * np.log10(255 / 219), abs=1e-3)
