"""Decoded images kept on disk."""

import json
import os

import numpy as np
import pytest
import torch
from pictures import encoded, noise

from ganrun.data import cache as room
from ganrun.data.folder import Folder


@pytest.fixture
def decodes(monkeypatch):
    """How many listings were decoded."""
    calls = []
    original = room.decode_all
    monkeypatch.setattr(room, "decode_all", lambda *args: calls.append(1) or original(*args))
    return calls


def test_a_second_run_maps_the_same_pixels_without_decoding(tree, tmp_path, decodes):
    root, place = str(tree("a/0.png", "b/1.png")), str(tmp_path / "cache")
    first, second = Folder(root, cache=place), Folder(root, cache=place)
    assert torch.equal(first.images, second.images)
    assert torch.equal(first.images, Folder(root).images)
    assert torch.equal(first.labels, second.labels)
    assert len(decodes) == 1
    assert sorted(path.rpartition(".")[2] for path in os.listdir(place)) == ["json", "npy"]


def test_a_changed_source_is_decoded_again(tree, tmp_path, decodes):
    root, place = tree("0.png", "1.png"), str(tmp_path / "cache")
    Folder(str(root), cache=place)
    (root / "1.png").write_bytes(encoded(noise(7)))
    os.utime(root / "1.png", (1, 1))
    changed = Folder(str(root), cache=place)
    assert np.array_equal(changed.images[1].numpy(), np.asarray(noise(7)).transpose(2, 0, 1))
    assert len(decodes) == 2


def test_another_size_limit_or_fit_is_another_cache(tree, tmp_path, decodes):
    root, place = str(tree("0.png", "1.png")), str(tmp_path / "cache")
    for options in ({}, {"image_size": 4}, {"channels": 1}, {"resize": "pad"}, {"limit": 1}):
        Folder(root, cache=place, **options)
    assert len(decodes) == 5


@pytest.mark.parametrize("damage", ["cut", "flip", "manifest", "gone", "list"])
def test_a_damaged_cache_is_built_again(tree, tmp_path, decodes, damage):
    root, place = str(tree("0.png", "1.png")), tmp_path / "cache"
    first = Folder(root, cache=str(place)).images.clone()
    (images,), (manifest,) = place.glob("*.npy"), place.glob("*.json")
    content = images.read_bytes()
    if damage == "cut":
        images.write_bytes(content[:-10])
    elif damage == "flip":
        images.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    elif damage == "gone":
        images.unlink()
    else:
        manifest.write_text("{" if damage == "manifest" else json.dumps([1, 2]))
    assert torch.equal(Folder(root, cache=str(place)).images, first)
    assert len(decodes) == 2


def test_broken_files_are_remembered_and_still_refused(tree, tmp_path, decodes, caplog):
    root, place = tree("0.png", "1.png", "2.png"), str(tmp_path / "cache")
    (root / "1.png").write_bytes(b"")
    first = Folder(str(root), cache=place)
    assert len(first) == 2
    assert torch.equal(first.images, Folder(str(root)).images)
    assert torch.equal(first.images, Folder(str(root), cache=place).images)
    with pytest.raises(ValueError, match=r"1 of 3 images are broken.*'1\.png'"):
        Folder(str(root), cache=place, broken="refuse")
    assert len(decodes) == 1
    assert caplog.text.count("'1.png' is broken") == 3


def test_only_broken_files_are_an_error_here_too(tree, tmp_path):
    root = tree("0.png")
    (root / "0.png").write_bytes(b"")
    with pytest.raises(ValueError, match="1 of 1 images are broken"):
        Folder(str(root), cache=str(tmp_path / "cache"))


def test_writing_to_the_images_leaves_the_file_alone(tree, tmp_path, decodes):
    root, place = str(tree("0.png")), str(tmp_path / "cache")
    Folder(root, cache=place).images.zero_()
    assert Folder(root, cache=place).images.any()
    assert len(decodes) == 1


def test_an_interrupted_decode_leaves_nothing(tree, tmp_path, monkeypatch):
    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(room, "decode_all", stopped)
    with pytest.raises(KeyboardInterrupt):
        Folder(str(tree("0.png")), cache=str(tmp_path / "cache"))
    assert os.listdir(tmp_path / "cache") == []


def test_a_cache_that_cannot_be_written_is_named(tree, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ValueError, match=r"dataset\.cache=.*cannot be written"):
        Folder(str(tree("0.png")), cache=str(tmp_path / "file" / "cache"))
    monkeypatch.setattr(room.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 0}))
    with pytest.raises(ValueError, match=r"dataset\.cache=.*0 MiB are free"):
        Folder(str(tree("0.png")), cache=str(tmp_path / "cache"))
