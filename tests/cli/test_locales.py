"""Machines whose locale, file names and line ends are not those of the machine that ganrun was written on."""

from __future__ import annotations

import io
import json
import os
import sys
import tempfile
from pathlib import Path

import pytest
import torch
from PIL import Image

from ganrun.cli.main import main
from ganrun.data.cache_folder import user_cache
from ganrun.evaluation.scorer import cache_folder
from tests.cli.test_entry import QUICK, ganrun

ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
RUN = [word for word in QUICK if not word.startswith(("hooks=", "dataset."))] + ["hooks.tensorboard=null"]
ODD = os.fsdecode(b"caf\xe9")  # as an old Linux or a zip from Windows has it


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two classes of four pictures; a class and each file are named by bytes that are not UTF-8."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "pictures"
    try:
        (folder / ODD).mkdir(parents=True)
    except OSError:
        pytest.skip("this file system takes UTF-8 alone")
    (folder / "z").mkdir()
    pixels = torch.arange(256, dtype=torch.uint8).view(16, 16)
    for number in range(8):
        picture = Image.fromarray(pixels.roll(number, 0).numpy())
        picture.save(folder / (ODD, "z")[number % 2] / f"{ODD}{number}.png")
    (folder / "z" / f"damaged{ODD}.png").write_bytes(b"no picture")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("locale", [ASCII, {"PYTHONIOENCODING": "ascii"}, {"PYTHONIOENCODING": "latin-1:strict"}])
def test_a_run_where_the_locale_is_not_utf8(locale: dict[str, str], tmp_path: Path) -> None:
    words = [
        "train",
        *QUICK,
        "hooks.console.seconds=0",
        "hooks=default",
        "steps=2",
        "out=run",
        "hooks.tensorboard=null",
    ]
    done = ganrun(*words, cwd=tmp_path, **locale)
    assert (done.returncode, done.stderr) == (0, "")
    log = (tmp_path / "run/train.log").read_bytes()
    assert "64 images of 16×16".encode() in log
    assert b"\r" not in log
    assert "nearest: info" in ganrun("inf×", cwd=tmp_path, **locale).stderr


def test_what_a_stream_cannot_say_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    said = io.BytesIO()
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(said, "ascii", "strict", write_through=True))
    assert main(["数据"]) == 2
    assert said.getvalue().startswith(rb"ganrun: '\u6570\u636e' is no command")


def test_names_that_are_not_utf8_pass_through_every_command(pictures: Path, tmp_path: Path) -> None:
    data = ["dataset=folder", f"dataset.root={pictures}"]
    run = f"run {ODD}"
    assert main(["train", *RUN, *data, "steps=2", f"out={run}"]) == 0
    assert main(["train", f"resume={run}", "steps=3"]) == 0
    assert main(["sample", f"ckpt={run}", "n=2", f"out={ODD}.npz"]) == 0
    assert (tmp_path / f"{ODD}.npz").exists()
    assert b"look at    'run caf?/grids" in (tmp_path / run / "train.log").read_bytes()
    pytest.importorskip("matplotlib")
    assert main(["plot", f"run={run}"]) == 0


def test_labelled_pictures_of_such_names_come_back_as_a_table_in_utf8(pictures: Path, tmp_path: Path) -> None:
    words = ["model=cgan", "model.generator.network.base_channels=4", "model.discriminator.network.base_channels=4"]
    data = ["dataset=folder", f"dataset.root={pictures}"]
    quick = ["batch_size=4", "device=cpu", "hooks=quiet", "steps=1", "out=run"]
    assert main(["train", *words, *data, *quick]) == 0
    assert main(["synthesize", "ckpt=run", "per_class=1", "out=made"]) == 0
    table = (tmp_path / "made/manifest.csv").read_bytes()
    assert b"\r" not in table
    assert len(table.decode().splitlines()) == 3
    words = ["model=restoration", "model.generator.base_channels=4", "model.discriminator.base_channels=4"]
    assert main(["train", *words, "dataset=damaged", *quick[:-1], "out=mend"]) == 0
    assert main(["apply", "ckpt=mend", f"input={pictures}", f"target={pictures}", "out=mended"]) == 0
    assert len((tmp_path / "mended/results.csv").read_text(encoding="utf-8").splitlines()) == 9


@pytest.mark.parametrize("word", ["out=数据", "out=数据　集", "out=a&b;c", "out=x~y", "out=été"])
def test_a_name_beyond_ascii_needs_no_quotes(word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", *QUICK, "steps=1", word]) == 0
    assert (tmp_path / word.removeprefix("out=") / "checkpoints/last.pt").exists()


def test_files_with_windows_line_ends_are_read_as_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pictures").mkdir()
    for number in range(4):
        Image.new("L", (16, 16), number * 60).save(tmp_path / f"pictures/{number}.png")
    rows = "".join(f"{number}.png,{'ab'[number % 2]}\r\n" for number in range(4))
    (tmp_path / "labels.csv").write_bytes(f"\ufeffimage,class\r\n{rows}".encode())
    (tmp_path / "mine/loss").mkdir(parents=True)
    (tmp_path / "mine/loss/mine.yaml").write_bytes(b"# Mine\r\n_target_: ganrun.losses.adversarial.Hinge\r\n")
    data = ["dataset=folder", "dataset.root=pictures", "dataset.labels=labels.csv", "batch_size=2"]
    words = [*RUN, *data, "--config-dir", "mine", "loss=mine", "out=run"]
    assert main(["train", *(word for word in words if word != "batch_size=8"), "steps=2"]) == 0
    metrics = tmp_path / "run/metrics.jsonl"
    before = metrics.read_bytes()
    assert b"\r" not in before
    metrics.write_bytes(before.replace(b"\n", b"\r\n"))
    assert main(["train", "resume=run", "steps=4"]) == 0
    assert metrics.read_bytes().startswith(before)
    assert [json.loads(line)["step"] for line in metrics.read_text(encoding="utf-8").splitlines()] == [1, 2, 4]


@pytest.mark.parametrize(
    "word", ["train out=~nobody-here/x", "sample ckpt=~nobody-here", "train dataset=folder dataset.root=~nobody-here"]
)
def test_a_home_that_is_nowhere_is_named(word: str, tmp_path: Path, monkeypatch, capfd) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(word.split()) == 2
    said = capfd.readouterr().err
    assert word.split()[-1] in said
    assert said.count("\n") == 1
    assert "write the full path" in said


def test_without_a_home_folder_caches_lie_among_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As under a user number that the system does not know, in containers."""
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert tmp_path in user_cache().parents
    assert cache_folder(None) == user_cache()
