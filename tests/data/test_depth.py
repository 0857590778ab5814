"""Data sets of pictures with more than 8 bits, with alpha, with other profiles and with many channels."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from ganrun.common import png16
from ganrun.common.images import from_unit, to_unit
from ganrun.data.cache import Cache
from ganrun.data.decode import Decoder, crop
from ganrun.data.folder import Folder
from ganrun.data.listing import find_facts, list_images
from ganrun.data.loading.stream import prepare
from ganrun.data.paired import Paired
from ganrun.evaluation.features.extractor import Extractor
from ganrun.training.planning.measure import Choice, choose_precision
from tests.common.test_pixels import RAMP, linear_profile, noise, saved, tiff


@pytest.fixture
def deep(tmp_path: Path) -> Path:
    """Three 16-bit colour pictures of 12x12 pixels."""
    place = tmp_path / "deep"
    place.mkdir()
    for number in range(3):
        (place / f"{number}.png").write_bytes(png16.encoded(noise(12, 12, 3) + np.uint16(number)))
    return place


def test_every_level_survives_the_way_to_the_network_and_back() -> None:
    levels = torch.from_numpy(RAMP)[None, None]
    prepared = prepare({"image": levels}, torch.device("cpu"))["image"]
    assert prepared.dtype == torch.float32
    assert (prepared.min(), prepared.max()) == (-1, 1)
    for units in (prepared, to_unit(levels)):
        assert torch.equal(from_unit(units, torch.uint16), levels)


@pytest.mark.parametrize(
    "options", [{}, {"mode": "stream"}, {"cache": "cache"}, {"crop": 8, "cache": "cache"}, {"crop": 8}]
)
def test_16_bits_are_kept_in_memory_in_the_cache_and_streamed(deep: Path, tmp_path: Path, monkeypatch, options) -> None:
    monkeypatch.chdir(tmp_path)
    data = Folder(str(deep), image_size=8 if "crop" in options else 12, channels=3, depth=16, **options)
    images = data.take(torch.arange(3))["image"]
    part = slice(2, 10) if "crop" in options else slice(None)
    assert images.dtype == torch.uint16
    assert data.is_deep
    for number in range(3):
        assert np.array_equal(
            images[number].numpy(), np.moveaxis(noise(12, 12, 3) + np.uint16(number), 2, 0)[:, part, part]
        )
    if not options:
        assert data.nbytes == 3 * 3 * 12 * 12 * 2
    again = Folder(str(deep), image_size=8 if "crop" in options else 12, channels=3, depth=16, **options)
    assert torch.equal(again.take(torch.arange(3))["image"], images)


def test_the_cache_of_8_bits_stays_as_it_was(deep: Path) -> None:
    """Else everybody's pictures would be decoded again."""
    listing = list_images(deep)
    names = {Cache("cache", listing, decoder).fingerprint for decoder in (
        Decoder(3, (12, 12), crop), Decoder(3, (12, 12), crop, np.dtype(np.uint16)),
        Decoder(3, (12, 12), crop, to_srgb=True), Decoder(3, (12, 12), crop, np.dtype(np.float32), (0, 1)),
    )}  # fmt: skip
    assert len(names) == 4
    assert Decoder(3, (12, 12), crop).numbers == []


def test_depth_and_channels_are_found_out(tmp_path: Path, deep: Path) -> None:
    assert find_facts(str(deep)) == {"channels": 3, "image_size": 12, "depth": 16, "classes": 0}
    (tmp_path / "bands").mkdir()
    (tmp_path / "bands/x.tif").write_bytes(tiff(noise(8, 8, 5), photometric="minisblack", planarconfig="contig"))
    assert find_facts(str(tmp_path / "bands"))["channels"] == 5


def test_8_bits_in_16_and_16_in_8(deep: Path) -> None:
    eight = (noise(12, 12, 3) >> 8).astype(np.uint8)
    (deep / "3.png").write_bytes(saved(Image.fromarray(eight)))
    images = Folder(str(deep), image_size=12, channels=3, depth=16).take(torch.tensor([3]))["image"]
    assert np.array_equal(images[0].numpy(), np.moveaxis(eight.astype(np.uint16) * 257, 2, 0))
    images = Folder(str(deep), image_size=12, channels=3).take(torch.tensor([0]))["image"]
    assert images.dtype == torch.uint8
    assert np.abs(images[0].numpy() / 255 - np.moveaxis(noise(12, 12, 3), 2, 0) / 65535).max() < 1 / 255


def test_transparency_is_white_unless_alpha_is_a_channel(tmp_path: Path) -> None:
    pixels = noise(12, 12, 4)
    pixels[0, 0] = [1000, 2000, 3000, 0]
    (tmp_path / "x.png").write_bytes(png16.encoded(pixels))
    colours = Folder(str(tmp_path), image_size=12, channels=3, depth=16).take(torch.tensor([0]))["image"]
    assert colours[0, :, 0, 0].int().tolist() == [65535, 65535, 65535]
    whole = Folder(str(tmp_path), image_size=12, channels=4, depth=16).take(torch.tensor([0]))["image"]
    assert np.array_equal(whole[0].numpy(), np.moveaxis(pixels, 2, 0))


def test_colours_of_another_profile_become_srgb(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    (tmp_path / "x.png").write_bytes(saved(Image.new("RGB", (8, 8), (128, 128, 128)), icc_profile=linear_profile()))
    for profiles, grey in (("convert", 188), ("ignore", 128)):
        data = Folder(str(tmp_path), image_size=8, channels=3, profiles=profiles)
        assert data.take(torch.tensor([0]))["image"].float().mean().item() == pytest.approx(grey, abs=1)
    assert caplog.text.count("the colour profile Linear RGB are converted to sRGB") == 1


def test_pages_and_sides_of_arrays_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    for name in ("scan", "array"):
        (tmp_path / name).mkdir()
    (tmp_path / "scan/x.tif").write_bytes(tiff(noise(8, 8, 3)[..., 0][None].repeat(3, 0), photometric="minisblack"))
    np.save(tmp_path / "array/x.npy", np.zeros((4, 8, 6), np.uint8))
    for name, side in (("scan", None), ("array", 4)):
        Folder(str(tmp_path / name), crop=side)
    assert "'x.tif': its 3 grey pages are the channels of one picture" in caplog.text
    assert "'x.npy': the shape (4, 8, 6) is read as (channels, height, width)" in caplog.text


def test_whole_numbers_with_a_range_become_floats(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([[0, 4095], [1000, 5000]], np.uint16))
    images = Folder(str(tmp_path), image_size=2, channels=1, range=[0, 4095]).take(torch.tensor([0]))["image"]
    assert images.flatten().tolist() == pytest.approx([-1, 1, 1000 / 2047.5 - 1, 1])


def test_a_pair_of_unlike_depth_is_named(deep: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "a").mkdir()
    for path in deep.iterdir():
        (tmp_path / "a" / path.name).write_bytes(path.read_bytes())
    (tmp_path / "a/1.png").write_bytes(saved(Image.new("RGB", (12, 12))))
    Paired(root_source=str(tmp_path / "a"), root_target=str(deep), image_size=12, channels=3, depth=16)
    assert "1 of 3 pairs that were looked at are of unlike depth: '1.png' (8 bits, its target 16)" in caplog.text


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"channels": 5, "depth": 16}, "it has 3 channels, and 5 are wanted: dataset.channels=3"),
        ({"channels": 5000}, "dataset.channels=5000 must be from 1"),
        ({"depth": 12}, "dataset.depth=12 must be one of 8, 16, 32"),
        ({"depth": 32}, r"dataset.range=\[0,1\]"),
        ({"range": [1, 1]}, "must be .black,white."),
        ({"range": ["a", 1]}, "must be .black,white."),
        ({"profiles": "keep"}, "must be convert or ignore"),
    ],
)
def test_what_cannot_be_is_one_line(deep: Path, options: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Folder(str(deep), image_size=12, **{"channels": 3, **options})


@pytest.mark.parametrize("asked", ["auto", "bf16", "tf32"])
def test_more_than_8_bits_are_trained_on_in_float32(deep: Path, asked: str) -> None:
    passes = SimpleNamespace(dataset=Folder(str(deep), image_size=12, channels=3, depth=16), device=torch.device("cpu"))
    choice = Choice()
    assert choose_precision(asked, passes, choice) == "fp32"
    assert choice.settings == {"precision": "fp32"}


def test_features_see_16_bits_as_they_see_8() -> None:
    seen: list[torch.Tensor] = []

    class Network(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, None]:
            seen.append(images)
            return images.flatten(1), None

    extractor = SimpleNamespace(device=torch.device("cpu"), module=Network())
    eight = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    for images in (eight, (eight.int() * 257).to(torch.uint16)):
        Extractor.seen(extractor, images)
    assert torch.allclose(seen[0], seen[1], atol=1e-6)
