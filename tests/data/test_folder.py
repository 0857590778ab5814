"""Folder: from files to tensors."""

import logging
import zipfile

import numpy as np
import pytest
import torch
from pictures import encoded, noise, real

from ganrun.data import sources
from ganrun.data.folder import Folder


def test_pixels_and_labels_come_in_the_order_of_names(tree):
    root = tree("b/0.png", "a/1.png")
    folder = Folder(str(root))
    assert folder.labels.tolist() == [0, 1]
    assert folder.class_names == ["a", "b"]
    expected = [np.asarray(noise(seed)).transpose(2, 0, 1) for seed in (1, 0)]
    assert np.array_equal(folder.images.numpy(), np.stack(expected))


def test_a_zip_gives_the_folders_pixels(tree, zipped):
    root = tree("b/0.png", "a/1.png", "a/2.png")
    one, other = Folder(str(root)), Folder(str(zipped(root)))
    assert torch.equal(one.images, other.images)
    assert torch.equal(one.labels, other.labels)


def test_facts_given_are_used_and_classes_are_checked(tree):
    root = str(tree("a/0.png", "b/1.png"))
    assert Folder(root, image_size=[4, 6], channels=1, classes=2).images.shape == (2, 1, 4, 6)
    with pytest.raises(ValueError, match=r"dataset\.classes=7, but the images have 2"):
        Folder(root, classes=7)


def test_a_flat_folder_has_no_labels(tree):
    folder = Folder(str(tree("0.png", "1.png")))
    assert folder.labels is None
    assert folder.classes == 0


def test_broken_files_are_skipped_by_name(tree, caplog):
    root = tree("a/0.png", "a/1.png", "b/2.png")
    (root / "a" / "1.png").write_bytes(b"<html>")
    with caplog.at_level(logging.WARNING):
        folder = Folder(str(root))
    assert folder.labels.tolist() == [0, 1]
    assert torch.equal(folder.images[1], torch.from_numpy(np.asarray(noise(2)).transpose(2, 0, 1).copy()))
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("'a/1.png' is broken: not a PNG")


def test_many_warnings_are_counted(tree, caplog):
    root = tree(*(f"{i:02}.png" for i in range(15)))
    for i in range(13):
        (root / f"{i:02}.png").write_bytes(b"")
    with caplog.at_level(logging.WARNING):
        assert len(Folder(str(root))) == 2
    assert len(caplog.messages) == 11
    assert caplog.messages[-1] == "... and 3 more"


def test_broken_files_can_be_refused(tree):
    root = tree("good.png", "bad.png")
    (root / "bad.png").write_bytes(encoded(noise(0, (64, 64)))[:2000])
    with pytest.raises(ValueError, match=r"1 of 2 images are broken.*'bad\.png'"):
        Folder(str(root), broken="refuse")


def test_only_broken_files_are_an_error(tree):
    root = tree("bad.png")
    (root / "bad.png").write_bytes(b"")
    with pytest.raises(ValueError, match="1 of 1 images are broken"):
        Folder(str(root))


def test_files_above_the_cap_are_not_read(tree, zipped, monkeypatch):
    root = tree("a.png", "b.png")
    (root / "b.png").write_bytes(encoded(noise(0, (200, 200))))
    monkeypatch.setattr(sources, "MAX_BYTES", 10_000)
    assert len(Folder(str(root))) == len(Folder(str(zipped(root)))) == 1


def test_a_zip_member_that_lies_about_its_size_is_broken(tmp_path):
    path = tmp_path / "liar.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("good.png", encoded(noise(0)))
        archive.writestr("liar.png", encoded(noise(1)) + bytes(10**6))
    content = bytearray(path.read_bytes())
    entry = content.rindex(b"PK\x01\x02")
    content[entry + 24 : entry + 28] = (400).to_bytes(4, "little")
    path.write_bytes(content)
    assert len(Folder(str(path))) == 1


def test_a_limit_is_drawn_before_decoding_and_keeps_several_classes(tree):
    root = tree(*(f"{kind}/{i}.png" for kind in "abcd" for i in range(10)))
    everything, few = Folder(str(root)), Folder(str(root), limit=8)
    assert len(few) == 8
    assert len(few.labels.unique()) > 1
    assert few.classes == 4
    assert torch.equal(few.images, Folder(str(root), limit=8).images)
    assert all((everything.images == image).flatten(1).all(1).any() for image in few.images)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"resize": "stretch"}, r"dataset\.resize=stretch must be one of crop, squash, pad"),
        ({"broken": "mend"}, r"dataset\.broken=mend must be skip or refuse"),
        ({"channels": 5000}, r"dataset\.channels=5000"),
        ({"limit": 0}, r"dataset\.limit=0"),
        ({"split": "train"}, r"dataset\.split=train: no such folder"),
    ],
)
def test_wrong_values_are_named(tree, wrong, message):
    with pytest.raises(ValueError, match=message):
        Folder(str(tree("0.png", "1.png")), **wrong)


@pytest.mark.slow
def test_the_real_cifar_zip_decodes():
    path = str(real("cifar10.zip"))
    folder = Folder(path, "test", image_size=32, channels=3, limit=200, classes=10)
    assert folder.images.shape == (200, 3, 32, 32)
    assert folder.class_names[:2] == ["airplane", "automobile"]
    assert len(folder.labels.unique()) == 10
    assert 0.3 < folder.images.float().mean() / 255 < 0.6
