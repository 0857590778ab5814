"""CelebA in torchvision's layout, made up at 1/5 of its size."""

import importlib.util
import zipfile

import numpy as np
import pytest
from pictures import encoded, noise
from PIL import Image

from ganrun.data import celeba
from ganrun.data.celeba import CelebA

NUMBERS = (1, 162_770, 162_771, 182_637, 182_638, 202_599)


@pytest.fixture
def faces(tmp_path):
    folder = tmp_path / "celeba" / "img_align_celeba"
    folder.mkdir(parents=True)
    for number in NUMBERS:
        (folder / f"{number:06}.jpg").write_bytes(encoded(noise(number, (36, 44)), "JPEG"))
    return tmp_path


@pytest.mark.parametrize(("split", "count"), [("train", 2), ("valid", 2), ("test", 2), ("all", 6)])
def test_splits_go_by_number(faces, split, count):
    data = CelebA(str(faces), split, classes=0)
    assert data.images.shape == (count, 3, 64, 64)
    assert data.labels is None
    assert data.flip is True


def test_the_zip_gives_the_folders_pixels(faces):
    before = CelebA(str(faces), image_size=16).images
    folder = faces / "celeba" / "img_align_celeba"
    with zipfile.ZipFile(faces / "celeba" / "img_align_celeba.zip", "w") as archive:
        for file in folder.iterdir():
            archive.write(file, f"img_align_celeba/{file.name}")
            file.unlink()
    folder.rmdir()
    assert np.array_equal(CelebA(str(faces), image_size=16).images, before)


def test_the_central_square_is_taken(tmp_path):
    face = Image.new("RGB", (178, 218), "red")
    face.paste("blue", (0, 20, 178, 198))
    (tmp_path / "celeba" / "img_align_celeba").mkdir(parents=True)
    (tmp_path / "celeba" / "img_align_celeba" / "000001.jpg").write_bytes(encoded(face, "PNG"))
    inner = CelebA(str(tmp_path)).images[0, :, 2:-2]  # the filter reaches two pixels over the edge
    assert (inner == np.array([0, 0, 255])[:, None, None]).all()


def test_missing_faces_are_one_line(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"dataset\.root=.*dataset\.download=true") as caught:
        CelebA(str(tmp_path))
    assert "\n" not in str(caught.value)


def test_a_missing_gdown_is_named_with_its_install_command(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install 'ganrun\[celeba\]'"):
        CelebA(str(tmp_path), download=True)


def test_a_failed_download_is_one_line_and_leaves_nothing(tmp_path, monkeypatch):
    def unplugged(identity, folder, name, md5):
        folder.mkdir(parents=True)
        raise RuntimeError("Cannot retrieve the link.\nno network")

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(celeba, "download_file_from_google_drive", unplugged)
    with pytest.raises(FileNotFoundError, match=r"CelebA could not be downloaded \(no network\)"):
        CelebA(str(tmp_path / "data"), download=True)
    assert list(tmp_path.iterdir()) == []


def test_a_split_without_pictures_is_named(faces):
    for number in NUMBERS[:2]:
        (faces / "celeba" / "img_align_celeba" / f"{number:06}.jpg").unlink()
    with pytest.raises(ValueError, match=r"dataset\.split=train: .*no picture of that split"):
        CelebA(str(faces))
