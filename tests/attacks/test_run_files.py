"""What lies in a stranger's run folder beside its checkpoints: read within bounds, or refused in one line."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from greed import measured
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ganrun.cli.main import main
from ganrun.commands.plot import grid_strips, plot
from ganrun.common.images import save_grid
from ganrun.common.pictures import MAX_CHUNKS, open_picture
from ganrun.training.hooks.best import Best
from ganrun.training.metrics_rows import lines_of, row_of, rows_of

Refused = Callable[..., str]
GOOD = '{"step": 1, "images": 64, "generator/adversarial": 1.0}\n'
HUGE = "1" + "0" * 400

# lines of metrics.jsonl, each between two good ones: none may be taken for a row, or only its sound numbers
STRANGE = {
    "a step of 400 digits": f'{{"step": {HUGE}, "images": 1, "a/b": 1}}',
    "a step of 5,000 digits": f'{{"step": {"9" * 5000}, "images": 1, "a/b": 1}}',
    "a negative step": '{"step": -1, "images": 1, "a/b": 1}',
    "negative images": '{"step": 1, "images": -1, "a/b": 1}',
    "a step that is a list": '{"step": [1], "images": 1, "a/b": 1}',
    "a step that is true": '{"step": true, "images": 1, "a/b": 1}',
    "images that are text": '{"step": 1, "images": "1", "a/b": 1}',
    "images that are null": '{"step": 1, "images": null, "a/b": 1}',
    "images that are a fraction": '{"step": 1, "images": 0.5, "a/b": 1}',
    "no step": '{"images": 1, "a/b": 1}',
    "a list": "[1, 2]",
    "a number": "3",
    "brackets without end": "[" * 100_000,
    "groups without end": '{"a":' * 50_000,
    "no text": "\udcff\udcfe",
    "zero bytes": "\0\0\0\0",
    "half a row": '{"step": 1, "ima',
    "a megabyte of one name": '{"step": 1, "images": 1, "' + "n" * 2**21 + '": 1}',
}
VALUES = ["NaN", "Infinity", "-Infinity", "1e999", "1e308", HUGE, '"1"', "[1]", '{"a": 1}', "true", "null"]
NAMES = [
    "$\\frac{",
    "$\\frac{a$",
    "$",
    "a$b$c",
    "\\alpha",
    "two\nlines",
    "\x1b[2J",
    "_hidden",
    "数据",
    "\ud800",
    "x" * 5000,
    "",
    "/",
]


@pytest.fixture
def run(here: Path) -> Path:
    (here / "run/grids").mkdir(parents=True)
    return here / "run"


def rows(run: Path, *lines: str) -> None:
    (run / "metrics.jsonl").write_bytes("".join(lines).encode("utf-8", "surrogateescape"))


def told_grid(path: Path, columns: object, lines: object, size: tuple[int, int] = (130, 66)) -> None:
    """A PNG whose header tells of so many columns and rows."""
    info = PngInfo()
    info.add_text("columns", str(columns))
    info.add_text("rows", str(lines))
    Image.new("L", size).save(path, pnginfo=info)


# -- metrics.jsonl --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", STRANGE)
def test_a_line_that_no_run_writes_is_no_row(run: Path, name: str) -> None:
    rows(run, GOOD, STRANGE[name] + "\n", GOOD)
    assert [row["images"] for row in rows_of(run / "metrics.jsonl")] == [64, 64]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: value[:12])
def test_a_value_that_is_no_finite_number_is_left_out_of_its_row(value: str) -> None:
    row = row_of(f'{{"step": 1, "images": 2, "a/b": {value}, "c/d": 0.5}}'.encode())
    assert row == {"step": 1, "images": 2, "c/d": 0.5}


def test_plot_draws_what_is_sound_among_all_that_is_not(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = [f'{{"step": 1, "images": 2, "a/b": {value}}}\n' for value in VALUES]
    rows(run, GOOD, *(f"{line}\n" for line in STRANGE.values()), *values)
    assert main(["plot", "run=run"]) == 0
    assert capsys.readouterr().err == ""
    assert (run / "curves.png").exists()


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_names_are_taken_by_the_letter(run: Path, suffix: str, capsys: pytest.CaptureFixture[str]) -> None:
    numbers = {f"{owner}/{name}": 1.0 for name in NAMES for owner in ("a", "score", "alarm")} | dict.fromkeys(NAMES, 2)
    rows(run, *(json.dumps({"step": step, "images": step, **numbers}) + "\n" for step in (1, 2)))
    run.rename(run.with_name("$\\frac{"))
    assert main(["plot", "run='$\\frac{'", f"out=x.{suffix}"]) == 0
    assert capsys.readouterr().err == ""
    if suffix == "svg":
        assert "\x1b" not in Path("x.svg").read_text(encoding="utf-8")


def test_a_page_has_room_for_so_many_curves_points_and_alarms(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    many = {f"p{number}/loss{number}": 1.0 for number in range(10_000)}
    many |= {f"score/s{number}@1k": 1.0 for number in range(1000)} | {f"alarm/a{n}": 1.0 for n in range(1000)}
    rows(run, json.dumps({"step": 1, "images": 1, **many}) + "\n", *[GOOD] * 9000)
    page = plot.drawn(plot.rows(run))
    assert len(page.panels) <= plot.PANELS
    assert all(len(series) <= plot.SERIES for series in page.panels.values())
    assert len(plot.alarms(plot.rows(run))) == plot.ALARMS
    assert main(["plot", "run=run"]) == 0
    assert "are left out" in capsys.readouterr().out


def test_a_long_series_is_thinned_out_evenly_and_its_last_point_stays() -> None:
    found = ({"step": step, "images": 1000 * step, "generator/adversarial": float(step)} for step in range(9001))
    page = plot.drawn(found)
    points = page.panels["losses"]["generator/adversarial"]
    assert len(points) <= plot.MOST + 1
    assert points[0] == (0.0, 0.0)
    assert points[-1] == (9000.0, 9000.0)
    assert {round(after[0] - before[0]) for before, after in itertools.pairwise(points)} == {8}
    assert page.notes == ["only every 8th point of long curves is drawn"]


def test_extreme_numbers_have_an_axis_too(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = (0.0, -1.0, 1e100, -1e100, 5e-324)
    rows(
        run,
        *(json.dumps({"step": n, "images": n, "g/gradient_norm": v, "g/x": v}) + "\n" for n, v in enumerate(values)),
    )
    assert main(["plot", "run=run"]) == 0
    rows(run, json.dumps({"step": 1, "images": 2**64 - 1, "g/gradient_norm": -1.0}) + "\n")
    assert main(["plot", "run=run"]) == 0
    assert capsys.readouterr().err == ""


def test_numbers_that_no_panel_shows_are_said_to_be_none(run: Path, refused: Refused) -> None:
    rows(run, '{"step": 1, "images": 1, "a/lr": 1}\n')
    assert "none of the numbers that a plot shows" in refused("plot", "run=run")


@pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
@pytest.mark.parametrize("name", ["metrics.jsonl", "grids/step_000001.png", "scores.json", "best.json"])
def test_what_is_no_file_is_not_waited_for(run: Path, name: str, kind: str, refused: Refused) -> None:
    rows(run, GOOD)
    (run / name).unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(run / name)
    elif kind == "folder":
        (run / name).mkdir()
    else:
        (run / name).symlink_to("/dev/zero")
    if name == "metrics.jsonl":
        said = refused("plot", "run=run")
        assert "metrics.jsonl in it is a" in said or "not a file" in said
    elif name == "scores.json":
        assert "not a file" in refused("eval", "compare=run/scores.json")
    elif name == "best.json":
        best = Best(run / name, "auto")
        best.start(1)
        assert best.name == ""
    else:
        assert grid_strips.strip_of(run, 4, 4) is None


def test_a_hundred_megabytes_in_one_line_take_no_memory(run: Path) -> None:
    with open(run / "metrics.jsonl", "wb") as file:
        file.write(b'{"step": 1, "images": 1, "a/b": ')
        file.write(b"1" * (100 * 10**6))
        file.write(b"}\n" + GOOD.encode())
    assert list(lines_of(run / "metrics.jsonl")) == [GOOD.encode()]
    with open(run / "sparse.jsonl", "wb") as file:
        file.truncate(2**40)
    found = measured({"plot": ["plot", "run=run", "out=x.png"]}, run.parent)["plot"]
    assert found["code"] == 0, found
    assert found["MiB"] < 500, found
    os.replace(run / "sparse.jsonl", run / "metrics.jsonl")
    found = measured({"plot": ["plot", "run=run", "out=y.png"]}, run.parent)["plot"]
    assert found["code"] == 2, found
    assert "larger than" in found["said"], found


# -- grids ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "lines"),
    [
        (20_000, 1), (0, 1), (-1, 1), (1, 0), (1, 10**9), (10**9, 10**9), ("9" * 5000, 1), ("nan", 1), ("1.5", 1),
        ("", ""), ("\x1b", 1), (" 1", 1), (64, 64), (130, 1),
    ],
)  # fmt: skip
def test_a_grid_that_tells_of_impossible_cells_is_left_out(run: Path, columns: object, lines: object) -> None:
    told_grid(run / "grids/step_000001.png", columns, lines)
    assert grid_strips.geometry(run / "grids/step_000001.png") is None
    told_grid(run / "grids/step_000002.png", 64, 64, (1, 1))
    assert grid_strips.strip_of(run, 4, 10) is None


def test_a_huge_grid_takes_no_more_memory_than_its_few_cells(run: Path) -> None:
    rows(run, GOOD)
    for step in range(1, 4):
        told_grid(run / f"grids/step_{step:06d}.png", 2, 2, (5000, 5000))
    found = measured({"plot": ["plot", "run=run", "out=x.png", "samples=60000", "times=60000"]}, run.parent)["plot"]
    assert found["code"] == 0, found
    assert found["MiB"] < 500, found


def test_grids_that_are_cut_otherwise_than_the_last_are_left_out(run: Path) -> None:
    pictures = torch.zeros(4, 1, 64, 64, dtype=torch.uint8)
    for step, columns in ((1, 4), (2, 2), (3, 2)):
        save_grid(pictures, run / f"grids/step_{step:06d}.png", columns)
    (run / f"grids/step_{'9' * 200}.png").write_bytes((run / "grids/step_000001.png").read_bytes())
    found = grid_strips.strip_of(run, 2, 9)
    assert found is not None
    assert found.steps == [2, 3]


@pytest.mark.parametrize("name", ["run/grids/step_000001.png", "in/step.png"])
def test_a_postscript_named_png_never_starts_ghostscript(
    run: Path, here: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "bin").mkdir()
    (here / "bin/gs").write_text(f"#!/bin/sh\ntouch {here}/canary\n")
    (here / "bin/gs").chmod(0o755)
    monkeypatch.setenv("PATH", f"{here}/bin:{os.environ['PATH']}")
    monkeypatch.setattr("PIL.EpsImagePlugin.gs_binary", None)
    (here / name).parent.mkdir(exist_ok=True)
    (here / name).write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n(x) print\n%%EOF\n")
    rows(run, GOOD)
    assert main(["plot", "run=run"]) == 0
    with pytest.raises(ValueError, match="not a PNG"):
        open_picture(here / name)
    assert not (here / "canary").exists()
    with Image.open(here / name) as picture, contextlib.suppress(OSError):
        picture.load()
    assert (here / "canary").exists(), "the test would notice"


def test_a_png_of_a_million_chunks_is_refused_before_they_are_walked_through() -> None:
    def chunk(kind: bytes, content: bytes = b"") -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    rest = chunk(b"IDAT", zlib.compress(b"\0\0")) + chunk(b"IEND")
    with open_picture(head + rest) as image:
        image.load()
    with pytest.raises(ValueError, match="chunks"):
        open_picture(head + chunk(b"tEXt", b"a\0b") * (MAX_CHUNKS + 1) + rest)


def test_a_picture_of_more_bytes_than_any_is_not_read(run: Path) -> None:
    with open(run / "x.png", "wb") as file:
        file.truncate(2**30)
    with pytest.raises(ValueError, match="larger than"):
        open_picture(run / "x.png")


# -- scores.json, best.json -----------------------------------------------------------------------------------------

SCORE: dict[str, Any] = {
    "score": "fid", "name": "fid@1k", "value": 1.0, "reference": 0.5, "reference_is": "real",
    "protocol": {"n_fake": 1000, "network": "net"},
}  # fmt: skip


def scored(**changes: Any) -> dict[str, Any]:
    """A table of one score, with changes to the score, or by about= to what it says of itself."""
    about = changes.pop("about", {"checkpoint": "run", "step": 1, "images": 64})
    return {"format": 1, "results": [{"about": about, "scores": [{**SCORE, **changes}]}]}


def deep(depth: int) -> Any:
    found: Any = 1
    for _ in range(depth):
        found = {"a": found}
    return found


@pytest.mark.parametrize(
    "content",
    [
        scored(value=10**400), scored(value="1"), scored(value=[1]), scored(value=True), scored(value=1e200),
        scored(reference={}), scored(reference="x"), scored(score=1), scored(score="x" * 5000), scored(score=""),
        scored(protocol=[]), scored(protocol={}), scored(protocol={"n_fake": -1}), scored(protocol={"n_fake": True}),
        scored(protocol={"n_fake": 10**400}), scored(protocol={"n_fake": "1"}),
        scored(protocol={"n_fake": 1, "x": deep(500)}),
        scored(about=[]), scored(about="x"), scored(about={"step": "1"}), scored(about={"step": -1}),
        scored(about={"step": [1]}), scored(about={"step": 10**400}), scored(about={"checkpoint": "x" * 10**5}),
        {"results": []}, {"results": [{}]}, {"results": {}}, [], 3, None, {"results": [{"about": {}, "scores": []}]},
    ],
    ids=lambda content: str(content)[-40:],
)  # fmt: skip
def test_a_table_that_eval_did_not_write_is_one_line(here: Path, content: Any, refused: Refused) -> None:
    (here / "a.json").write_text(json.dumps(content))
    said = refused("eval", "compare=a.json")
    assert "is not what ganrun eval" in said or "holds no scores" in said


@pytest.mark.parametrize(
    "content", [b"\xff\xfe\x00", b"\0" * 100, b"[" * 100_000, b'{"a":' * 100_000, b"1" * 5000, b""], ids=len
)
def test_what_is_no_json_is_one_line(here: Path, content: bytes, refused: Refused) -> None:
    (here / "a.json").write_bytes(content)
    assert "compare=" in refused("eval", "compare=a.json")


def test_names_in_tables_paint_nothing(here: Path, refused: Refused, capfd: pytest.CaptureFixture[str]) -> None:
    table = scored(score="\x1b[2Jfid\n", protocol={"n_fake": 10, "\x1b[31m": 1}, about={"checkpoint": "\x1b[2J"})
    (here / "a.json").write_text(json.dumps(table))
    table["results"][0]["scores"][0]["protocol"]["\x1b[31m"] = "\x1b"
    (here / "b.json").write_text(json.dumps(table))
    assert main(["eval", "compare=a.json"]) == 0
    assert "\x1b" not in capfd.readouterr().out
    assert "cannot be compared" in refused("eval", "compare=[a.json,b.json]")


@pytest.mark.parametrize(
    "record",
    [
        '{"score": "fid", "value": 1' + "0" * 400 + ', "step": 1}', '{"score": 3, "value": 1, "step": 1}', "[" * 10**5,
        '{"score": "fid", "value": NaN, "step": 1}', '{"score": "fid", "value": "1", "step": 1}', "[]", "\0", "3",
        '{"score": "fid", "value": 1, "step": "1"}', '{"score": "fid", "value": 1, "step": [1]}',
        '{"score": "evil", "value": 1, "step": 1}', '{"score": "fid", "value": 1, "step": -1}',
    ],
    ids=lambda record: record[:40],
)  # fmt: skip
def test_a_record_of_the_best_that_none_has_written_is_none(here: Path, record: str) -> None:
    (here / "best.json").write_text(record)
    best = Best(here / "best.json", "auto")
    best.start(5)
    assert (best.name, best.value) == ("", 0.0)


# -- a run that goes on ---------------------------------------------------------------------------------------------


def test_resume_keeps_the_sound_rows_among_strange_ones(good_run: Path, here: Path, capsys: Any) -> None:
    shutil.copytree(good_run, here / "run")
    before = (here / "run/metrics.jsonl").read_text()
    extra = [f"{line}\n" for line in STRANGE.values()]
    (here / "run/metrics.jsonl").write_bytes((before + "".join(extra)).encode("utf-8", "surrogateescape"))
    (here / "run/scores.json").write_text(json.dumps(scored(about={"step": [1]})))
    (here / "run/status.json").write_bytes(b"[" * 10**5)
    (here / "run/checkpoints/best.json").write_text("[" * 10**5)
    assert main(["train", "resume=run", "steps=2", "device=cpu"]) == 0
    kept = (here / "run/metrics.jsonl").read_text()
    assert kept.startswith(before)
    assert all(json.loads(line)["step"] in (1, 2) for line in kept.splitlines())
    assert "Traceback" not in capsys.readouterr().err


def test_rows_that_no_symptom_can_read_end_in_one_line(good_run: Path, here: Path, capfd: Any) -> None:
    shutil.copytree(good_run, here / "run")
    (here / "run/metrics.jsonl").write_text('{"step": 1, "images": 4, "samples/label_sight": 1.0}\n')
    assert main(["train", "resume=run", "steps=2", "device=cpu"]) == 2
    errors = capfd.readouterr().err
    assert "was not written by a run" in errors.splitlines()[-1]
    assert "Traceback" not in errors
