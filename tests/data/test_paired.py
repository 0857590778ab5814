"""Paired: two folders with the same names, or pictures side by side."""

import logging

import numpy as np
import pytest
import torch
from pictures import encoded, noise
from PIL import Image

from ganrun.data.digits import Digits
from ganrun.data.paired import Paired
from ganrun.data.pairing import find_pair_facts


def pixels(seed):
    return torch.from_numpy(np.asarray(noise(seed)).transpose(2, 0, 1).copy())


def everything(dataset):
    return dataset.take(torch.arange(len(dataset)))


def roots(source, target):
    return {"root_source": str(source), "root_target": str(target)}


def test_pictures_of_the_same_name_are_a_pair_whatever_their_suffix(tree):
    source = tree("x/a.png", "b.png", root="source")
    target = tree("b.png", "x/a.bmp", root="target")  # the bytes decide about the format
    batch = everything(Paired(**roots(source, target)))
    assert torch.equal(batch["source"], torch.stack([pixels(1), pixels(0)]))  # b, x/a
    assert torch.equal(batch["target"], torch.stack([pixels(0), pixels(1)]))


def test_a_zip_pairs_with_a_folder(tree, zipped):
    source, target = tree("a.png", "b.png", root="source"), tree("a.png", "b.png", root="target")
    one = everything(Paired(**roots(source, target)))
    other = everything(Paired(**roots(zipped(source), target)))
    assert all(torch.equal(one[side], other[side]) for side in one)


def test_splits_lie_in_both(tree):
    names = ("train/a.png", "train/b.png", "test/c.png")
    source, target = tree(*names, root="source"), tree(*names, root="target")
    assert len(Paired(**roots(source, target), split="train")) == 2
    assert len(Paired(**roots(source, target), split="test")) == 1


def test_names_without_a_partner_are_listed_and_counted(tree):
    source = tree(*(f"{i}.png" for i in range(9)), root="source")
    target = tree("0.png", "z.png", root="target")
    with pytest.raises(ValueError, match=r"do not match by name") as caught:
        Paired(**roots(source, target))
    line = str(caught.value)
    assert f"8 of 9 ('1', '2', '3', '4', '5', ...) only in {source}" in line
    assert f"1 of 2 ('z') only in {target}; 1 in both" in line


def test_two_pictures_of_one_name_are_refused(tree):
    root = tree("a.png", "a.jpg", root="source")
    with pytest.raises(ValueError, match=r"dataset\.root_source=.*'a\.jpg' and 'a\.png' share a name"):
        Paired(**roots(root, tree("a.png", root="target")))


def test_errors_name_the_side(tree, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"^dataset\.root_target=.*nowhere"):
        Paired(**roots(tree("a.png"), tmp_path / "nowhere"))
    with pytest.raises(ValueError, match=r"^dataset\.root_target is needed"):
        Paired(root_source=str(tree("a.png")))
    with pytest.raises(ValueError, match=r"not both"):
        Paired(root="a", root_source="b")


def beside(folder):
    """Three pictures of 16x8: red to the left, blue to the right."""
    folder.mkdir()
    for i in range(3):
        whole = Image.new("RGB", (16, 8), (200 + i, 0, 0))
        whole.paste((0, 0, 200 + i), (8, 0, 16, 8))
        whole.save(folder / f"{i}.png")
    return str(folder)


def test_the_left_half_is_the_source_and_the_right_half_the_target(tmp_path):
    dataset = Paired(root=beside(tmp_path / "halves"))
    batch = everything(dataset)
    assert dataset.image_size == (8, 8)
    assert batch["source"][1, :, 0, 7].tolist() == [201, 0, 0]
    assert batch["target"][1, :, 0, 0].tolist() == [0, 0, 201]


def test_halves_do_not_bleed_into_each_other_when_resized(tmp_path):
    batch = everything(Paired(root=beside(tmp_path / "halves"), image_size=[6, 5]))
    assert batch["source"].shape == batch["target"].shape == (3, 3, 6, 5)
    assert batch["source"][:, 2].max() == 0
    assert batch["target"][:, 0].max() == 0


def test_swap_exchanges_the_two(tree, tmp_path):
    root = beside(tmp_path / "halves")
    plain, swapped = everything(Paired(root=root)), everything(Paired(root=root, swap=True))
    assert torch.equal(plain["source"], swapped["target"])
    assert torch.equal(plain["target"], swapped["source"])
    folders = roots(tree("a.png", root="source"), tree("b.png", "a.png", root="target"))
    (tmp_path / "target" / "b.png").unlink()
    assert torch.equal(everything(Paired(**folders, swap=True))["source"][0], pixels(1))


def test_a_broken_picture_takes_its_partner_along(tree, caplog):
    names = ("a.png", "b.png", "c.png")
    source, target = tree(*names, root="source"), tree(*names, root="target")
    (source / "a.png").write_bytes(b"no picture")
    (target / "c.png").write_bytes(b"no picture")
    with caplog.at_level(logging.WARNING):
        batch = everything(Paired(**roots(source, target)))
    assert torch.equal(batch["source"], pixels(1)[None])
    assert torch.equal(batch["target"], pixels(1)[None])
    assert len(caplog.messages) == 2
    with pytest.raises(ValueError, match="broken"):
        Paired(**roots(source, target), broken="refuse")
    (source / "b.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match="broken"):
        Paired(**roots(source, target))


def test_a_limit_keeps_pairs_together(tree):
    names = [f"{i}.png" for i in range(9)]
    folders = roots(tree(*names, root="source"), tree(*names, root="target"))
    batch = everything(Paired(**folders, limit=4))
    assert len(batch["source"]) == 4
    assert torch.equal(batch["source"], batch["target"])


def test_one_colour_side_makes_both_colour_and_the_targets_give_the_size(tree, tmp_path):
    target = tree("a.png", root="target")
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "a.png").write_bytes(encoded(noise(0, (4, 4), 1)))
    folders = roots(tmp_path / "source", target)
    assert find_pair_facts(**folders) == {"channels": 3, "image_size": 8, "depth": 8, "kimg": 1000}
    assert find_pair_facts(**folders, swap=True)["image_size"] == 4


def test_sources_may_be_smaller_by_a_scale(tree):
    folders = roots(tree("a.png", root="source"), tree("a.png", root="target"))
    dataset = Paired(**folders, scale=2)
    assert everything(dataset)["source"].shape == (1, 3, 4, 4)
    assert dataset.nbytes == 3 * (16 + 64)
    assert everything(Paired(**folders, scale=2, swap=True))["target"].shape == (1, 3, 8, 8)
    with pytest.raises(ValueError, match=r"dataset\.scale=3 must be a whole number that divides"):
        Paired(**folders, scale=3)
    with pytest.raises(ValueError, match=r"dataset\.scale=2 needs dataset\.root_source"):
        Paired(scale=2)


def test_a_cache_gives_the_same_pairs(tree, tmp_path):
    names = ("a.png", "b.png")
    folders = roots(tree(*names, root="source"), tree(*names, root="target"))
    plain, halves = everything(Paired(**folders)), beside(tmp_path / "halves")
    for _ in range(2):
        cached = everything(Paired(**folders, cache=str(tmp_path / "cache")))
        assert all(torch.equal(plain[side], cached[side]) for side in plain)
        assert len(Paired(root=halves, cache=str(tmp_path / "cache"))) == 3


def test_without_a_root_outlines_of_digits_are_paired_with_the_digits():
    dataset = Paired(limit=20)
    batch = everything(dataset)
    assert dataset.image_size == (16, 16)
    assert torch.equal(batch["target"], Digits(limit=20).images)
    assert set(batch["source"].unique().tolist()) == {0, 255}
    assert (batch["target"][batch["source"] == 255] > 96).all()  # an outline is ink
