"""apply on folders of real size: workers, devices, batches, tiles by memory, going on, the baseline."""

from __future__ import annotations

import csv
import json
import shutil
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from ganrun.cli.main import main
from ganrun.commands.apply import memory, network, work
from ganrun.commands.apply.progress import Progress
from ganrun.commands.apply.tile_plan import TilePlan, largest_side, peak_of, plan_tiles
from ganrun.common.errors import UserError
from ganrun.losses.loss import AdversarialLoss
from ganrun.networks.unet import UNetGenerator
from ganrun.systems.restoration import Restoration
from tests.commands.test_apply import draw, said, trained
from tests.waiting import HANG

NO_MEMORY = "[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ganrun"])


def pictures(folder: Path, count: int = 7, size: tuple[int, int] = (40, 30)) -> None:
    """Pictures of one size, and one of another in the middle."""
    for number in range(count):
        draw(folder / f"{number:02}.png", (33, 20) if number == count // 2 else (size[0], size[1]), "RGB")


def apply(*words: str) -> int:
    return main(["apply", "ckpt=pix2pix", "input=in", *words])


def content(folder: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(folder).iterdir() if path.suffix in (".png", ".csv")}


def test_workers_batches_and_devices_change_no_byte_and_all_devices_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained("pix2pix")
    pictures(tmp_path / "in", 24)
    networks: list[network.Network] = []

    class Noted(network.Network):
        def __init__(self, *parts: Any) -> None:
            super().__init__(*parts)
            networks.append(self)

        def translate(self, names: Any, pictures: Any) -> Any:
            if len(networks) == 2:
                meet.wait(HANG)  # neither goes on before both have work: then the queue is shared, whoever is faster
            return super().translate(names, pictures)

    meet = threading.Barrier(2)
    words = ["target=in", "strips=true"]
    assert apply("out=plain", "workers=1", "batch_size=1", *words) == 0
    assert apply("out=many", "workers=5", *words) == 0
    monkeypatch.setattr("ganrun.commands.apply.apply.Network", Noted)
    assert apply("out=batches", "batch_size=4", *words) == 0
    assert networks[0].same
    networks.clear()
    assert apply("out=devices", "device=cpu,cpu", "batch_size=1", *words) == 0
    assert [each.pictures for each in networks] == [12, 12]
    assert len(content("plain")) == 25
    for folder in ("many", "batches", "devices"):
        assert content(folder) == content("plain"), folder
        assert content(f"{folder}/strips") == content("plain/strips"), folder


def test_memory_is_bounded_by_few_pictures_on_their_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained("pix2pix")
    pictures(tmp_path / "in", 30)
    most = 0

    class Counted(work.Work):
        def has_room(self, pending: Any) -> bool:
            nonlocal most
            most = max(most, sum(item.held > 0 and not item.outcome.done() for item in pending))
            return super().has_room(pending)

    monkeypatch.setattr("ganrun.commands.apply.apply.Work", Counted)
    monkeypatch.setattr(memory, "room", lambda: 1)
    assert apply("out=out", "workers=2") == 0
    assert len(content("out")) == 30
    assert most <= 3


# -- tiles ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network for which memory runs out above 96 × 96 pixels."""
    forward = UNetGenerator.forward

    def forward_or_fail(self: UNetGenerator, images: Tensor) -> Tensor:
        if images.device.type == "cpu" and type(images) is Tensor and images.shape[2] * images.shape[3] > 96**2:
            raise RuntimeError(NO_MEMORY)
        return forward(self, images)

    monkeypatch.setattr(UNetGenerator, "forward", forward_or_fail)


@pytest.mark.usefixtures("little_memory")
def test_tiles_are_halved_when_memory_runs_out_and_it_is_said_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained("pix2pix")
    for name in "abc":
        draw(tmp_path / f"in/{name}.png", (300, 200))
    assert apply("out=out") == 0
    assert apply("out=fixed", "tile=64") == 0
    assert content("out").keys() == {"a.png", "b.png", "c.png"}
    assert said(capsys).count("memory ran out at a.png: tiles of ") == 1
    pair = [np.asarray(Image.open(f"{folder}/c.png")).astype(int) for folder in ("out", "fixed")]
    assert np.abs(pair[0] - pair[1]).max() <= 2
    assert apply("out=whole", "tile=null") == 2
    assert "too little memory for the whole picture: leave out tile=null" in capsys.readouterr().err


def test_a_picture_that_cannot_be_written_for_want_of_memory_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trained("pix2pix")
    pictures(tmp_path / "in", 3)
    write = work.write_picture

    def fails_for_one(pixels: Tensor, path: Path, *others: Any) -> None:
        if path.name == "01.png":
            raise MemoryError
        write(pixels, path, *others)

    monkeypatch.setattr(work, "write_picture", fails_for_one)
    assert apply("out=out") == 0
    assert [*content("out")].count("01.png") == 0
    assert "2 pictures in out" in (lines := said(capsys))
    assert "01.png: there is too little memory for it" in lines


def test_memory_that_never_suffices_leaves_the_picture_out() -> None:
    plan = TilePlan(256, least=64)
    plan.halve(300, 300, 256, "a")
    plan.halve(300, 300, 128, "a")
    assert plan.side == 64
    with pytest.raises(UserError, match="even for tiles of 64 pixels"):
        plan.halve(300, 300, 64, "a")


def test_the_estimate_of_memory_is_that_of_the_largest_tile() -> None:
    """The side that is found needs what is free, less the share of others, the gaps and the libraries."""
    with torch.device("meta"):
        networks = UNetGenerator(3, 32, 8, 0.0), torch.nn.Linear(1, 1)
        system = Restoration(*networks, loss=AdversarialLoss())
    found = largest_side(system, 3, None, 2**30)
    assert found is not None
    peak = peak_of(system, 3, None, found // 32 * 32)
    assert peak is not None
    assert 0.3 * 2**30 < peak < 0.5 * 2**30
    plan = plan_tiles("auto", 32, 8, lambda: found)
    assert plan.tile_for(found // 2, found) is None
    assert plan.tile_for(found, 2 * found) == found // 32 * 32


def test_tiles_of_a_network_with_instance_norms_are_said_and_so_is_the_time_left() -> None:
    plan = TilePlan(64, norms=True)
    plan.tile_for(64, 64)
    assert not plan.lines()
    plan.tile_for(65, 64)
    assert ["instance norms" in line for line in plan.lines()] == [True]
    progress = Progress(1000, 100)
    progress.update(300)
    assert progress.line(150.0) == "400 of 1000 pictures, 2 images/s, about 5 min left"


# -- going on ------------------------------------------------------------------------------------------------------


def test_a_resumed_folder_does_only_what_is_left_and_is_as_if_unbroken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trained("pix2pix")
    pictures(tmp_path / "in")
    assert apply("out=whole", "target=in") == 0
    written: list[str] = []
    write = work.write_picture

    def fails_at_the_fourth(pixels: Tensor, path: Path, *others: Any) -> None:
        if len(written) == 3:
            raise KeyboardInterrupt
        written.append(path.name)
        write(pixels, path, *others)

    monkeypatch.setattr(work, "write_picture", fails_at_the_fourth)
    assert apply("out=out", "target=in", "workers=1", "batch_size=1") == 130
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    done = json.loads(Path("out/.apply.json").read_text(encoding="utf-8"))["done"]
    assert [*done] == ["00.png", "01.png", "02.png"]
    capsys.readouterr()
    assert apply("out=out", "target=in") == 2
    assert "overwrite=true, or resume=true to go on there" in capsys.readouterr().err
    assert apply("out=out", "target=in", "resume=true") == 0
    assert "7 pictures in out, 3 of them by an earlier command\n4 pictures, " in said(capsys)
    assert content("out") == content("whole")
    assert apply("out=out", "target=in", "resume=true") == 0
    assert "7 pictures in out, 7 of them" in said(capsys)


def test_what_changed_is_done_again_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trained("pix2pix")
    pictures(tmp_path / "in", 4)
    assert apply("out=out") == 0
    draw(tmp_path / "in/00.png", (21, 22), "RGB")
    draw(tmp_path / "in/new.png", (21, 22), "RGB")
    (tmp_path / "out/01.png").unlink()
    (tmp_path / "out/.02.png.0123456789abcdef.part").write_text("half")
    capsys.readouterr()
    assert apply("out=out", "resume=true") == 0
    lines = said(capsys)
    assert "5 pictures in out, 2 of them by an earlier command" in lines
    assert "2 pictures done again: their inputs, targets or outputs changed" in lines
    assert not list(Path("out").glob("*.part"))
    assert apply("out=out", "resume=true", "weights=raw") == 0
    assert "5 pictures done again: weights=raw (was ema)" in said(capsys)
    shutil.rmtree("pix2pix")
    trained("pix2pix", "seed=5")
    assert apply("out=out", "resume=true", "weights=raw") == 0
    assert "5 pictures done again: the checkpoint is another" in said(capsys)


def test_nothing_of_earlier_settings_stays_beside_the_new_outputs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def files() -> set[str]:
        return {str(path.relative_to("out")) for path in Path("out").rglob("*") if path.is_file()} - {".apply.json"}

    for name in ("a.bmp", "b.bmp"):
        draw(tmp_path / "in" / name, (20, 14), "RGB")
    words = ["model=bicubic", "input=in", "out=out"]
    everything = [*words, "scale=1", "target=in", "strips=true", "page=true", "format=keep"]
    first = {"a.bmp", "b.bmp", "strips/a.png", "strips/b.png", "results.csv", "index.html"}
    assert main(["apply", *everything]) == 0
    assert files() == first
    assert main(["apply", *words, "resume=true"]) == 0
    assert "target=false (was true)" in said(capsys)
    assert files() == {"a.png", "b.png"}
    (tmp_path / "out/mine.txt").write_text("mine")
    assert main(["apply", *everything, "overwrite=true"]) == 0
    assert files() == first | {"mine.txt"}
    (tmp_path / "out/strips/b.png").unlink()
    assert main(["apply", *everything, "resume=true"]) == 0
    assert "1 picture done again" in said(capsys)
    assert files() == first | {"mine.txt"}
    record = Path("out/.apply.json")
    record.write_text(record.read_text("utf-8").replace('"device": "cpu"', '"device": "cuda"'), "utf-8")
    assert main(["apply", *everything, "resume=true", "device=cpu"]) == 0
    assert "2 pictures done again: device=cpu (was cuda)" in said(capsys)


def test_the_tiles_of_an_earlier_command_are_used_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained("pix2pix")
    pictures(tmp_path / "in", 4, (200, 200))
    monkeypatch.setattr("ganrun.commands.apply.model.largest_side", lambda *parts: 96)
    assert apply("out=whole") == 0
    assert apply("out=out") == 0
    monkeypatch.setattr("ganrun.commands.apply.model.largest_side", lambda *parts: 4096)
    Path("out/00.png").unlink()
    assert apply("out=out", "resume=true") == 0
    assert content("out") == content("whole")


@pytest.mark.parametrize(
    "text", ["", "[]", '{"version": 1}', '{"version": 1, "settings": [], "side": null, "done": {}}', "[" * 100_000]
)
def test_a_damaged_record_is_one_line(text: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    trained("pix2pix")
    pictures(tmp_path / "in", 1)
    (tmp_path / "out").mkdir()
    (tmp_path / "out/.apply.json").write_text(text, encoding="utf-8")
    capfd.readouterr()
    assert apply("out=out", "resume=true") == 2
    err = capfd.readouterr().err
    assert "is damaged" in err
    assert err.count("\n") == 1


# -- the baseline --------------------------------------------------------------------------------------------------


def test_bicubic_fills_the_same_table_without_a_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    y, x = np.mgrid[:48, :64]
    smooth = (128 + 100 * np.sin(x / 9) * np.cos(y / 7)).astype(np.uint8)
    for folder, image in (("large", Image.fromarray(smooth)), ("small", Image.fromarray(smooth).resize((32, 24)))):
        (tmp_path / folder).mkdir()
        image.save(tmp_path / folder / "a.png")
    rows = {}
    for name in ("bicubic", "lanczos", "nearest"):
        assert main(["apply", f"model={name}", "input=small", "target=large", f"out={name}"]) == 0
        with open(f"{name}/results.csv", encoding="utf-8") as file:
            (rows[name],) = csv.DictReader(file)
    assert Image.open("bicubic/a.png").mode == "L"
    assert float(rows["bicubic"]["psnr"]) > float(rows["nearest"]["psnr"]) + 5
    assert rows["bicubic"]["psnr"] == rows["bicubic"]["input_psnr"], "it gains nothing over itself"
    expected = Image.open("small/a.png").resize((64, 48), Image.Resampling.NEAREST)
    assert np.array_equal(np.asarray(expected), np.asarray(Image.open("nearest/a.png")))
    assert main(["apply", "model=bicubic", "scale=4", "input=small", "out=four"]) == 0
    assert Image.open("four/a.png").size == (128, 96)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("ckpt=pix2pix model=bicubic", "ckpt=pix2pix and model=bicubic: give a checkpoint with"),
        ("device=cpu", "ckpt is needed: give a checkpoint with ckpt=RUN, or a filter with model=bicubic"),
        ("model=bicubix", "model.name=bicubix must be bicubic | lanczos | nearest, or null; nearest: bicubic"),
        ("ckpt=pix2pix scale=2", "scale=2 goes with model=bicubic"),
        ("ckpt=pix2pix resume=true overwrite=true", "give one of them"),
        ("ckpt=pix2pix device=cpu,cuda:77", "device=cuda:77: this machine shows"),
        ("ckpt=pix2pix device=cpu,tpu", "device=['cpu', 'tpu'] must be auto | cpu"),
        ("ckpt=pix2pix workers=0", "workers=0 must be a whole number from 1"),
        ("ckpt=pix2pix out=full resume=true", "holds files but no record of an earlier ganrun apply"),
        ("ckpt=pix2pix input=in/00.png out=x.png resume=true", "goes on in a folder"),
        ("model=bicubic direction=ba", "one direction"),
    ],
)
def test_each_mistake_is_one_line(words: str, message: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    trained("pix2pix")
    pictures(tmp_path / "in", 1)
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine.txt").write_text("mine")
    capfd.readouterr()
    given = dict(word.split("=") for word in words.split())
    assert main(["apply", *(f"{key}={value}" for key, value in ({"input": "in", "out": "y"} | given).items())]) == 2
    err = capfd.readouterr().err
    assert message in err
    assert err.count("\n") == 1
    assert not (tmp_path / "y").exists()


def test_a_tile_smaller_than_the_network_needs_is_refused() -> None:
    with pytest.raises(UserError, match="tile=32 is too small for this network"):
        plan_tiles(32, 8, 64, lambda: None)
