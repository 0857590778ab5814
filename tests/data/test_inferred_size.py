"""The size that pictures are brought to when nobody says, and the line about it."""

from __future__ import annotations

import itertools
import sys

import numpy as np
import pytest
import torch
from pictures import noise
from PIL import Image

from ganrun.cli.composition import compose_plain
from ganrun.cli.main import main
from ganrun.config.builders import build_system, load_dataset
from ganrun.config.tree import conf_folder
from ganrun.data.inferred_size import infer_size
from ganrun.data.listing import find_facts
from ganrun.networks.dcgan import start_grid
from ganrun.training.planning.plan import plan


@pytest.mark.parametrize(
    ("sizes", "found"),
    [
        ([], (64, 64)),
        ([(100, 100)], (96, 96)),
        ([(48, 64)], (48, 64)),  # a landscape stays one
        ([(64, 48)], (64, 48)),
        ([(218, 178)], (192, 160)),  # rounded down to 6·32 and 5·32
        ([(480, 640)], (64, 80)),  # too large to begin with: the short side is 64, the proportions stay
        ([(20, 1000)], (20, 256)),
        ([(1000, 1000)], (64, 64)),
        ([(90, 120)] * 3 + [(120, 160)] * 2 + [(120, 90)], (80, 112)),  # the median short side, as most lie
        ([(90, 120), (120, 90)], (80, 80)),  # no majority: a square
        ([(3, 3)], (3, 3)),
    ],
)
def test_the_size_is_that_of_the_pictures_as_far_as_networks_can_make_it(sizes, found):
    assert infer_size(sizes) == found


def test_whatever_is_found_a_dcgan_can_make():
    for own in itertools.product(range(8, 300, 17), range(8, 700, 41)):
        found = infer_size([own])
        start_grid(found)
        assert all(side <= limit for side, limit in zip(found, own, strict=True))
        assert max(found) <= 256


def planned(root, *words: str) -> list[str]:
    small = ["model.generator.base_channels=4", "model.discriminator.base_channels=4", "batch_size=2", "device=cpu"]
    config = compose_plain("train", ["dataset=folder", f"dataset.root={root}", *small, *words])
    return plan(config).lines()


def pictures(place, *sizes: tuple[int, int]) -> str:
    place.mkdir(exist_ok=True)
    for number, (height, width) in enumerate(sizes):
        noise(number, (width, height)).save(place / f"{number}.png")
    return str(place)


def test_the_plan_says_what_was_chosen_and_how_to_choose_otherwise(tmp_path):
    lines = planned(pictures(tmp_path / "a", (24, 32), (24, 33), (36, 48)))
    assert lines[0].startswith("data        3 images of 24×32, 3 channels")
    (note,) = [line for line in lines if line.startswith("note")]
    assert "pictures of 24×32 to 36×48 are resized to 24×32 (height×width), the median short side" in note
    assert note.endswith("dataset.image_size=[24,32] unless you set another")


def test_a_size_that_is_asked_for_or_is_the_pictures_own_needs_no_word(tmp_path):
    root = pictures(tmp_path / "b", (24, 32), (24, 32))
    assert not [line for line in planned(root) if line.startswith("note")]
    assert not [line for line in planned(root, "dataset.image_size=16") if line.startswith("note")]


@pytest.mark.parametrize(
    ("words", "size"),
    [
        (["dataset=paired", "dataset.root={root}", "model=pix2pix"], "20×20"),
        (["dataset=unpaired", "dataset.root_a={root}", "dataset.root_b={root}"], "20×40"),
    ],
)
def test_pairs_and_domains_say_it_too(words, size, tmp_path):
    root = pictures(tmp_path / "c", (21, 42), (21, 42))
    (note,) = load_dataset(compose_plain("train", [word.format(root=root) for word in words])).notes
    assert f"are resized to {size} (height×width), the next smaller size that the networks can make" in note


def test_a_picture_that_lies_on_its_side_is_measured_as_it_is_shown(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    noise(0, (32, 24)).save(tmp_path / "a.jpg", exif=exif)
    assert find_facts(str(tmp_path))["image_size"] == [32, 24]
    (tmp_path / "a.jpg").rename(tmp_path / "b.jpg")
    noise(0, (32, 24)).save(tmp_path / "a.png", exif=exif)
    find_facts.__globals__["_found"].cache_clear()
    assert find_facts(str(tmp_path))["image_size"] == [32, 24]


def test_a_landscape_is_trained_and_drawn_as_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ganrun"])
    pictures(tmp_path / "d", *[(24, 32)] * 8)
    small = ["model.generator.base_channels=4", "model.discriminator.base_channels=4", "batch_size=4", "steps=2"]
    small += ["device=cpu", "threads=1", "precision=fp32", "grids.count=4"]
    assert main(["train", "dataset=folder", "dataset.root=d", "model=dcgan", *small, "out=run"]) == 0
    assert main(["sample", "ckpt=run", "n=3", "out=fakes.npz"]) == 0
    assert np.load("fakes.npz")["images"].shape == (3, 24, 32, 3)
    assert main(["eval", "ckpt=run", "n=8", "device=cpu", "out=scores.json"]) == 0
    assert (tmp_path / "run" / "grids" / "step_000002.png").exists()


@pytest.mark.parametrize("path", sorted((conf_folder() / "model").glob("*.yaml")), ids=lambda path: path.stem)
def test_a_model_that_says_any_image_size_can_make_it(path):
    if "any image size" not in path.read_text(encoding="utf-8").splitlines()[0]:
        return
    with torch.device("meta"):
        build_system(compose_plain("train", [f"model={path.stem}", "dataset.image_size=[7,101]"]))


def test_a_size_that_is_asked_for_and_cannot_be_made_is_refused_with_the_override(capsys):
    assert main(["train", "model=dcgan", "dataset.image_size=100", "dry_run=true", "steps=1", "device=cpu"]) == 2
    said = capsys.readouterr().err
    assert "image_size=100: DCGAN doubles a grid" in said
    assert said.endswith("nearest: 96 or 112 (dataset.image_size=96)\n")
