"""`ganrun apply` writes pictures back as they came: every bit, alpha, profile and metadata, through a network that
changes nothing. The networks are trained by the real command and then made into identities."""

from __future__ import annotations

import csv
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganrun.checkpoints.checkpoint import load, save
from ganrun.cli.main import main
from ganrun.commands.apply.files import read_picture, write_picture
from ganrun.common import png16
from ganrun.common.pixels import read_whole
from tests.common.test_pixels import RAMP, linear_profile, noise, tiff

QUICK = ["batch_size=2", "grids.count=2", "device=cpu", "steps=2", "hooks.console.seconds=0", "hooks.grids.every=1",
         "model.generator.base_channels=4", "model.discriminator.base_channels=4"]  # fmt: skip


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ganrun"])


def identity(*words: str) -> None:
    """Trains a restoration model on pairs, and makes its residual network draw nothing."""
    assert main(["train", "model=restoration", *QUICK, *words, "out=run"]) == 0
    state = load("run/checkpoints/last.pt")
    for name, tensor in [*state["system"].items(), *(("generator." + name, t) for name, t in state["average"].items())]:
        if name.startswith("generator.last."):
            tensor.zero_()
    save(state, "run/checkpoints/last.pt")


def applied(*words: str) -> int:
    return main(["apply", "ckpt=run", "device=cpu", *words])


def read(path: str) -> np.ndarray:
    whole = read_whole(Path(path).read_bytes())
    return whole.values if whole.alpha is None else np.dstack([whole.values, whole.alpha])


def pairs(count: int, *shape: int, suffix: str = ".png") -> list[str]:
    """Pairs of noise, of which each source is its target."""
    for side in ("a", "b"):
        Path(side).mkdir()
        for number in range(count):
            pixels = np.roll(noise(*shape), number, axis=0)
            content = (
                png16.encoded(pixels)
                if suffix == ".png"
                else tiff(pixels, photometric="minisblack", planarconfig="contig")
            )
            Path(side, f"{number}{suffix}").write_bytes(content)
    return ["dataset=paired", "dataset.root_source=a", "dataset.root_target=b"]


def test_a_ramp_of_65536_levels_and_alpha_go_through_training_and_apply_bit_by_bit() -> None:
    identity(*pairs(4, 16, 16, 1), "dataset.image_size=16")
    Path("in").mkdir()
    grey, fading = RAMP[:, :, None], np.dstack([RAMP, RAMP.T])
    for name, pixels in (("grey", grey), ("fading", fading)):
        Path(f"in/{name}.png").write_bytes(png16.encoded(pixels))
    assert applied("input=in", "out=made") == 0
    assert len(np.unique(read("made/grey.png"))) == 65536
    assert np.array_equal(read("made/grey.png"), grey)
    assert np.array_equal(read("made/fading.png"), fading)
    assert applied("input=in/fading.png", "out=tiles", "tile=128", "format=tiff") == 0
    assert np.array_equal(read("tiles/fading.tif"), fading)


def test_five_bands_of_a_tiff_are_trained_on_and_written_back(capsys: pytest.CaptureFixture[str]) -> None:
    identity(*pairs(4, 16, 16, 5, suffix=".tif"), "dataset.image_size=16")
    pixels = noise(40, 56, 5)
    Path("in").mkdir()
    Path("in/bands.tif").write_bytes(tiff(pixels, photometric="minisblack", planarconfig="contig", compression="zlib"))
    np.save("in/pages.npy", np.moveaxis(pixels, 2, 0))
    Path("in/grey.png").write_bytes(png16.encoded(pixels[:, :, :1]))
    capsys.readouterr()
    assert "5 channels, 16 bits" in Path("run/train.log").read_text()
    assert applied("input=in", "out=made", "strips=true") == 0
    assert "grey.png: it has 1 channel, and the model was trained on 5" in capsys.readouterr().out
    assert np.array_equal(read("made/bands.tif"), pixels)
    assert read("made/bands.tif").dtype == np.uint16
    with Image.open("run/grids/step_000002.png") as grid:
        assert grid.mode == "RGB"
    with Image.open("made/strips/bands.png") as strip:
        assert strip.size == (112, 40)


def test_floats_with_a_range_are_trained_on_and_written_back() -> None:
    for side in ("a", "b"):
        Path(side).mkdir()
        for number in range(2):
            np.save(f"{side}/{number}.npy", np.random.default_rng(number).normal(300, 40, (16, 16)).astype(np.float32))
    words = ["dataset=paired", "dataset.root_source=a", "dataset.root_target=b", "dataset.image_size=16"]
    assert main(["train", "model=restoration", *QUICK, *words, "out=run"]) == 2  # the range is not known
    identity(*words, "dataset.range=[0,600]")
    assert applied("input=a", "out=made") == 0
    made = read("made/0.tif")[:, :, 0]
    assert made.dtype == np.float32
    assert np.abs(made - np.load("a/0.npy")).max() < 1e-4


def test_profile_exif_resolution_palette_and_turn_are_carried_over() -> None:
    """Through a model of 8 bits in colour."""
    for side in ("a", "b"):
        Path(side).mkdir()
        for number in range(2):
            Image.fromarray((noise(16, 16, 3) >> 8).astype(np.uint8)).save(f"{side}/{number}.png")
    words = ["dataset=paired", "dataset.root_source=a", "dataset.root_target=b", "dataset.image_size=16"]
    identity(*words, "dataset.profiles=ignore")
    Path("in").mkdir()
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a description"
    pixels = (noise(20, 24, 4) >> 8).astype(np.uint8)
    Image.fromarray(pixels).save("in/all.png", icc_profile=linear_profile(), exif=exif, dpi=(300, 300))
    Image.fromarray(pixels[:, :, :3]).quantize(16).save("in/palette.gif", transparency=0)
    deep = noise(20, 24, 3)
    Path("in/deep.png").write_bytes(png16.encoded(deep))
    assert applied("input=in", "out=made") == 0
    with Image.open("made/all.png") as made:
        assert np.array_equal(np.asarray(made), np.rot90(pixels, -1))
        assert made.info["icc_profile"] == linear_profile()
        assert made.getexif().get(0x010E) == "a description"
        assert 0x0112 not in made.getexif()
        assert made.info["dpi"] == pytest.approx((300, 300), abs=0.1)
        assert made.text["step"] == "2"
    with Image.open("made/palette.png") as made, Image.open("in/palette.gif") as given:
        assert np.array_equal(np.asarray(made), np.asarray(given.convert("RGBA")))
    assert np.array_equal(read("made/deep.png"), deep)
    assert applied("input=in", "out=kept", "format=keep") == 0
    assert sorted(path.name for path in Path("kept").glob("[!.]*")) == ["all.png", "deep.png", "palette.png"]


@pytest.mark.parametrize("words", [[], ["dataset.profiles=ignore"], None])
def test_apply_sees_the_colours_that_training_saw(words: list[str] | None, capsys: pytest.CaptureFixture[str]) -> None:
    """By default both convert other profiles to sRGB. Checkpoints from before that have no such setting."""
    given = pairs(2, 16, 16, 3)
    identity(*given, "dataset.image_size=16", *(words or []))
    if words is None:
        state = load("run/checkpoints/last.pt")
        del state["config"]["dataset"]["profiles"]
        save(state, "run/checkpoints/last.pt")
    Path("in").mkdir()
    Path("want").mkdir()
    pixels, icc = noise(20, 24, 3), linear_profile()
    eight = (pixels >> 8).astype(np.uint8)
    Image.fromarray(eight).save("in/eight.png", icc_profile=icc)
    Path("in/deep.png").write_bytes(png16.encoded(pixels, [(b"iCCP", b"ICC\0\0" + zlib.compress(icc))]))
    converted = {
        name: read_whole(Path(f"in/{name}.png").read_bytes(), to_srgb=True).values for name in ("eight", "deep")
    }
    Image.fromarray(converted["eight"]).save("want/eight.png")
    Path("want/deep.png").write_bytes(Path("in/deep.png").read_bytes())
    capsys.readouterr()
    assert applied("input=in", "target=want", "out=made") == 0
    said = "2 of another colour profile, converted to sRGB, because the pictures in training were"
    assert (said in capsys.readouterr().out) == (words == [])
    for name, raw in (("eight", eight), ("deep", pixels)):
        whole = read_whole(Path(f"made/{name}.png").read_bytes())
        assert np.array_equal(whole.values, converted[name] if words == [] else raw)
        assert whole.about.icc == (None if words == [] else icc)
    with open("made/results.csv", encoding="utf-8") as file:
        psnr = {row["file"]: row["psnr"] for row in csv.DictReader(file)}
    assert (psnr["eight.png"] == "inf") == (words == [])
    assert psnr["deep.png"] == "inf"  # the profile of a target is converted, too


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_alpha_grows_with_a_picture_that_is_enlarged(suffix: str) -> None:
    pixels = np.full((4, 6, 2), 30_000, np.uint16)
    pixels[:, 3:, 1] = 65535
    before = read_picture(png16.encoded(pixels), 1)
    after = before.pixels.repeat_interleave(2, 2).repeat_interleave(2, 3)
    write_picture(after, Path(f"large{suffix}"), {}, None, before)
    made = read(f"large{suffix}")
    assert made.shape == (8, 12, 2)
    assert (made[:, :, 0] == 30_000).all()
    assert (made[:, [0, -1], 1] == [30_000, 65535]).all()


def test_what_a_kind_of_file_cannot_hold_is_named() -> None:
    five = np.zeros((2, 2, 5), np.uint16)
    for name, said in (("x.png", "a .png cannot hold 5 channels"), ("x.jpg", "a .jpg cannot hold 5 channels")):
        before = read_picture(tiff(five, photometric="minisblack", planarconfig="contig"), 5)
        with pytest.raises(ValueError, match=said):
            write_picture(before.pixels, Path(name), {}, None, before)
    before = read_picture(png16.encoded(five[:, :, :3]), 3)
    with pytest.raises(ValueError, match="cannot hold 16 bits"):
        write_picture(before.pixels, Path("x.jpg"), {}, None, before)
