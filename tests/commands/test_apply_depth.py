"""`ganrun apply` writes pictures back as they came: every bit, alpha, profile and metadata, through a network that
changes nothing. The networks are trained by the real command and then made into identities."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from ganrun.checkpoints.checkpoint import load, save
from ganrun.cli.main import main
from ganrun.common import png16
from ganrun.common.pixels import read_whole
from tests.common.test_pixels import RAMP, noise, tiff

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
    changed = 0
    for tensors in (state["system"], state.get("average") or {}):
        for name, tensor in tensors.items():
            if "last" in name and "generator" in name:
                tensor.zero_()
                changed += 1
    assert changed
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
            content = png16.encoded(pixels) if suffix == ".png" else tiff(pixels, photometric="minisblack")
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
    assert applied("input=in", "out=tiles", "tile=64") == 0
    assert np.array_equal(read("tiles/fading.png"), fading)
    assert applied("input=in", "out=tiff", "format=tiff", "strips=true") == 0
    assert np.array_equal(read("tiff/fading.tif"), fading)
