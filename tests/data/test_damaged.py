"""Damaged: clean pictures, and damage as a function of (seed, step)."""

import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from ganrun.common.seeding import reseed
from ganrun.data.clean import clean_node, damage_scale
from ganrun.data.damage import LowResolution, Mask, Noise
from ganrun.data.damaged import Damaged
from ganrun.data.digits import Digits
from ganrun.data.loading.stream import prepare
from ganrun.data.paired import Paired

CONF = Path(__file__).resolve().parents[2] / "conf"
DAMAGES = {"noise": Noise(), "mask": Mask(), "low_res": LowResolution()}


def damaged(damage="noise", size=16, channels=1, **settings):
    return Damaged(Digits(size, channels, limit=20), DAMAGES, damage=damage, **settings)


def batch(dataset, step, seed=0):
    reseed(seed, step)
    return dataset.transform(prepare(dataset.take(torch.arange(4)), torch.device("cpu")))


def test_targets_are_the_clean_pictures_and_their_labels_stay():
    dataset, clean = damaged(), Digits(limit=20)
    taken = dataset.take(torch.tensor([3, 1]))
    assert torch.equal(taken["target"], clean.images[[3, 1]])
    assert torch.equal(taken["label"], clean.labels[[3, 1]])
    assert taken.keys() == {"target", "label"}
    assert (len(dataset), dataset.channels, dataset.image_size, dataset.classes) == (20, 1, (16, 16), 10)


def test_damage_is_a_function_of_seed_and_step():
    dataset = damaged()
    assert torch.equal(batch(dataset, 5)["source"], batch(dataset, 5)["source"])
    assert not torch.equal(batch(dataset, 5)["source"], batch(dataset, 6)["source"])
    assert not torch.equal(batch(dataset, 5)["source"], batch(dataset, 5, seed=1)["source"])
    assert torch.equal(batch(dataset, 5)["target"], batch(dataset, 6)["target"])


def test_a_mask_joins_the_batch():
    prepared = batch(damaged("mask"), 0)
    assert prepared.keys() == {"target", "label", "source", "mask"}
    assert prepared["mask"].mean().item() == 0.25


@pytest.mark.parametrize("damage", DAMAGES)
def test_whatever_joins_lies_channels_last_as_prepared_images_do(damage):
    prepared = batch(damaged(damage, channels=3), 0)
    assert all(
        images.is_contiguous(memory_format=torch.channels_last) for images in prepared.values() if images.ndim == 4
    )


def test_low_resolution_leaves_the_source_small_and_says_so():
    dataset = damaged("low_res")
    prepared = batch(dataset, 0)
    assert dataset.scale == 2
    assert prepared["source"].shape == (4, 1, 8, 8)
    assert prepared["target"].shape == (4, 1, 16, 16)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: damaged("rust"), r"dataset\.damage=rust must be one of noise, mask, low_res"),
        (lambda: damaged("low_res", size=[15, 16]), r"image_size=\[15, 16\] .* try dataset\.image_size=\[14, 16\]"),
        (lambda: damaged(scale=2), r"dataset\.scale=2, but the scale of noise is 1"),
        (
            lambda: Damaged(Paired(limit=4), DAMAGES, source="paired"),
            r"dataset\.source=paired has pairs of pictures",
        ),
    ],
)
def test_wrong_settings_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_wishes_reach_the_clean_data_set():
    settings = {"root": "there", "limit": 7, "split": None, "channels": "${.clean.channels}", "kimg": 5}
    page = clean_node("mnist", settings, [CONF])
    assert page["_target_"].endswith("MNIST")
    assert (page["root"], page["limit"]) == ("there", 7)
    assert (page["split"], page["channels"], page["kimg"]) == ("train", 1, 1000)


def test_a_users_own_data_set_is_found_where_ours_has_none(tmp_path):
    (tmp_path / "dataset").mkdir()
    (tmp_path / "dataset" / "mine.yaml").write_text("_target_: mine.Mine\nroot: null\n")
    (tmp_path / "dataset" / "mnist.yaml").write_text("_target_: mine.Other\n")
    assert clean_node("mine", {"root": "x"}, [CONF, tmp_path]) == {"_target_": "mine.Mine", "root": "x"}
    assert clean_node("mnist", {}, [CONF, tmp_path])["_target_"].endswith("MNIST")


def test_an_unknown_source_wish_or_damage_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"dataset\.source=minst: no such data set; there are .*mnist"):
        clean_node("minst", {}, [CONF])
    with pytest.raises(ValueError, match=r"dataset\.root=x: the data set digits has no such setting"):
        clean_node("digits", {"root": "x"}, [CONF])
    with pytest.raises(ValueError, match=r"dataset\.damage=rust must be one of noise, blur"):
        damage_scale("rust", {"noise": {}, "blur": {}})
    (tmp_path / "dataset").mkdir()
    (tmp_path / "dataset" / "mine.yaml").write_text("defaults: [folder]\n")
    with pytest.raises(ValueError, match=r"dataset\.source=mine: .*without a defaults list"):
        clean_node("mine", {}, [tmp_path])


@pytest.mark.parametrize(
    ("node", "scale"), [({"sigma": 25}, 1), ({"factor": 4}, 4), ({"factor": 4, "enlarge": True}, 1)]
)
def test_the_scale_is_known_before_anything_is_built(node, scale):
    assert damage_scale("it", {"it": node}) == scale


def test_the_page_shows_every_damage_at_its_classs_own_settings():
    nodes = yaml.safe_load((CONF / "dataset" / "damaged.yaml").read_text())["damages"]
    for name, node in nodes.items():
        module, _, cls_name = node.pop("_target_").rpartition(".")
        cls = getattr(importlib.import_module(module), cls_name)
        defaults = {key: parameter.default for key, parameter in inspect.signature(cls).parameters.items()}
        assert node.keys() == defaults.keys(), name
        for key in node.keys() - {"parts"}:
            default = defaults[key]
            assert node[key] == (list(default) if isinstance(default, tuple) else default), (name, key)


def test_facts_of_pairs_domains_and_damage_need_no_torch():
    code = "import sys, ganrun.data.clean, ganrun.data.pairing, ganrun.data.domains; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
