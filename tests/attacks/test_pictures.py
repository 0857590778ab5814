"""Pictures made by someone else: a broken or hostile one is named and left out, the others are used.

Each alone is tried in tests/data/test_decode.py, test_folder.py and test_listing.py; here they come all at once.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from conftest import QUICK, SMALL
from greed import measured
from PIL import Image

from ganrun.checkpoints import checkpoint
from ganrun.cli.main import main
from tests.common.test_pixels import HOSTILE, noise, tiff

TRAIN = ["train", "model=mlp", *QUICK, *SMALL, "dataset=folder", "dataset.root=in", "dataset.image_size=8"]


def encoded(image: Image.Image, format: str, **options: object) -> bytes:
    file = BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def colour(seed: int, size: tuple[int, int] = (8, 8), mode: str = "RGB") -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], len(mode)), dtype=np.uint8)
    return Image.fromarray(pixels, mode)


def lying_png(width: int, height: int) -> bytes:
    """A header that promises width x height pixels, and none that follow."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def fine() -> dict[str, bytes]:
    """Unusual, and to be read."""
    return {
        "fine/plain.png": encoded(colour(0), "PNG"),
        "fine/animated.gif": encoded(colour(1), "GIF", save_all=True, append_images=[colour(2)] * 50),
        "fine/cmyk.jpg": encoded(colour(3, mode="CMYK"), "JPEG"),
        "fine/deep.tif": tiff(noise(8, 8, 3)),
        "fine/sixteen.png": encoded(Image.fromarray(np.full((8, 8), 40_000, np.uint16)), "PNG"),
    }


def hostile() -> dict[str, bytes]:
    """To be left out by name."""
    whole = encoded(colour(4, (64, 64)), "PNG")
    return {
        "bad/bomb.png": encoded(Image.new("1", (13_300, 13_300)), "PNG"),
        "bad/lies.png": lying_png(30_000, 30_000),
        "bad/lies_a_little.png": lying_png(3000, 3000),
        "bad/cut.png": whole[: len(whole) // 2],
        "bad/zero.png": b"",
        "bad/page.jpg": b"<html><script>alert(1)</script></html>",
        "bad/postscript.png": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n(canary) (w) file closefile\n",
        "bad/pickle.png": b"cos\nsystem\n(S'touch canary'\ntR.",
        "bad/svg.gif": b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>",
        "bad/\x1b[31m\nred.png": b"",
        **{f"bad/{name[2:].replace('.', '')}.{name.split()[1][1:]}": made() for name, made in HOSTILE.items()},
    }


@pytest.fixture
def tree(here: Path) -> Path:
    for name, content in {**fine(), **hostile()}.items():
        (here / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (here / "in" / name).write_bytes(content)
    (here / "in/bad/passwd.png").symlink_to("/etc/passwd")
    (here / "in/bad/device.png").symlink_to("/dev/zero")
    (here / "private.png").write_bytes(encoded(colour(5), "PNG"))
    (here / "in/bad/private.png").symlink_to(here / "private.png")
    (here / "in/bad/up").symlink_to("..")
    os.mkfifo(here / "in/bad/pipe.png")
    return here


def test_training_takes_the_good_pictures_and_names_the_others(tree: Path) -> None:
    assert main([*TRAIN, "dataset.channels=3", "dataset.labelled=false", "out=run"]) == 0
    log = (tree / "run/train.log").read_text()
    assert "5 images of 8×8" in log
    for name in ("bomb.png", "lies.png", "lies_a_little.png", "cut.png", "zero.png", "page.jpg", "passwd", "pipe"):
        assert name in log or "... and" in log, name
    assert "\x1b" not in log
    assert not (tree / "canary").exists()


def test_hostile_pictures_take_no_memory_and_no_time(tree: Path) -> None:
    words = [*TRAIN, "dataset.channels=3", "dataset.labelled=false", "out=run"]
    found = measured({"train": words}, tree)["train"]
    assert found["code"] == 0, found
    assert found["MiB"] < 500, found


def test_apply_does_the_good_pictures_and_names_the_others(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = ["model.generator.base_channels=4", "model.discriminator.base_channels=4"]
    assert main(["train", "model=restoration", *QUICK, *small, "out=run"]) == 0
    capsys.readouterr()
    assert main(["apply", "ckpt=run", "input=in", "out=made", "device=cpu"]) == 0
    said = capsys.readouterr().out
    assert "5 pictures in made" in said
    assert "left out" in said
    assert all(line.isprintable() for line in said.splitlines())
    made = sorted(str(path.relative_to(tree / "made")) for path in (tree / "made").rglob("*.png"))
    assert made == ["fine/animated.png", "fine/cmyk.png", "fine/deep.png", "fine/plain.png", "fine/sixteen.png"]
    assert not (tree / "canary").exists()


def test_only_hostile_pictures_are_one_line(tree: Path, refused: Callable[..., str]) -> None:
    assert "are broken" in refused(*TRAIN[:-2], "dataset.root=in/bad", "dataset.image_size=8", "dataset.channels=3")


def test_a_pipe_or_device_given_as_the_place_itself_is_one_line(tree: Path, refused: Callable[..., str]) -> None:
    for place in ("in/bad/pipe.png", "in/bad/device.png"):
        assert "neither a folder nor a .zip" in refused("train", "dataset=folder", f"dataset.root={place}", "steps=1")


def test_class_names_with_newlines_colours_and_dots_stay_in_their_place(here: Path) -> None:
    """In the log, in file names and in TensorBoard's tags."""
    for folder in ("a\n\x1b[31mred", "..evil", "c\x07"):
        for number in range(4):
            (here / "in" / folder).mkdir(parents=True, exist_ok=True)
            (here / "in" / folder / f"{number}.png").write_bytes(encoded(colour(number), "PNG"))
    words = ["train", "model=cgan", *QUICK, "dataset=folder", "dataset.root=in", "dataset.image_size=8", "out=run",
             "model.generator.network.base_channels=4", "model.discriminator.network.base_channels=4"]  # fmt: skip
    assert main(words) == 0
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(here / "run"))
    events.Reload()
    tags = [tag for kind in ("scalars", "images", "tensors") for tag in events.Tags()[kind]]
    assert tags
    assert all(tag.isprintable() and ".." not in tag for tag in tags)
    assert "\x1b" not in (here / "run/train.log").read_text()
    assert all(str(path).isprintable() for path in (here / "run").rglob("*"))
    assert all(name.isprintable() for name in checkpoint.load(here / "run/checkpoints/last.pt")["data"]["class_names"])
    assert main(["synthesize", "ckpt=run", "per_class=1", "device=cpu", "out=made"]) == 0
    assert all(str(path).isprintable() for path in (here / "made").rglob("*"))
