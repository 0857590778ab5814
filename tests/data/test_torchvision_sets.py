"""MNIST and its kin: torchvision's files, taken whole."""

import gzip
import hashlib
import pickle
from urllib.error import URLError

import numpy as np
import pytest
import torch
from pictures import real
from torchvision import datasets

from ganrun.data.torchvision_sets import CIFAR10, MNIST, FashionMNIST

SETS = [MNIST, FashionMNIST, CIFAR10]


def idx(array):
    """An array in the idx format: magic with type and rank, sizes, bytes."""
    return bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape) + array.tobytes()


@pytest.fixture
def tiny_mnist(tmp_path):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name, count in (("train", 20), ("t10k", 10)):
        pixels = np.random.default_rng(count).integers(0, 256, (count, 28, 28), dtype=np.uint8)
        (raw / f"{name}-images-idx3-ubyte").write_bytes(idx(pixels))
        (raw / f"{name}-labels-idx1-ubyte").write_bytes(idx(np.arange(count, dtype=np.uint8) % 10))
    return tmp_path


@pytest.mark.parametrize(("split", "count"), [("train", 20), ("test", 10), ("all", 30)])
def test_splits_of_mnist(tiny_mnist, split, count):
    mnist = MNIST(str(tiny_mnist), split)
    assert mnist.images.shape == (count, 1, 28, 28)
    assert mnist.labels.tolist() == [i % 10 for i in range(20)][: min(count, 20)] + list(range(count - 20))
    assert mnist.class_names[3] == "3 - three"
    assert mnist.flip is False


def test_pixels_are_torchvisions(tiny_mnist):
    theirs = datasets.MNIST(tiny_mnist, train=False)
    assert torch.equal(MNIST(str(tiny_mnist), "test").images[:, 0], theirs.data)


def test_size_colour_and_limit_can_be_chosen(tiny_mnist):
    mnist = MNIST(str(tiny_mnist), image_size=32, channels=3, limit=7, classes=10)
    assert mnist.images.shape == (7, 3, 32, 32)
    assert len(mnist.labels) == 7


def test_an_unknown_split_is_named(tiny_mnist):
    with pytest.raises(ValueError, match=r"dataset\.split=valid must be one of train, test, all"):
        MNIST(str(tiny_mnist), "valid")


def test_damaged_files_are_one_line(tiny_mnist):
    path = tiny_mnist / "MNIST" / "raw" / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(FileNotFoundError, match="damaged") as caught:
        MNIST(str(tiny_mnist))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", SETS)
def test_missing_files_are_one_line_that_says_where_and_how(kind, tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        kind(str(tmp_path))
    line = str(caught.value)
    assert "\n" not in line
    assert kind.__name__ in line
    assert str(tmp_path / kind.folder) in line
    assert "dataset.download=true" in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", SETS)
def test_a_download_without_network_is_one_line_and_leaves_nothing(kind, tmp_path, monkeypatch, capsys):
    def unplugged(*_, **__):
        raise URLError("no network")

    monkeypatch.setattr("urllib.request.urlopen", unplugged)
    with pytest.raises(FileNotFoundError, match=r"dataset\.download=true.*no network") as caught:
        kind(str(tmp_path / "data"), download=True)
    assert "\n" not in str(caught.value)
    assert capsys.readouterr().out == ""
    assert list(tmp_path.iterdir()) == []


def test_a_download_that_is_already_there_is_unpacked(tmp_path, monkeypatch):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    resources = []
    for name, array in {
        "train-images-idx3-ubyte": np.zeros((3, 28, 28), np.uint8),
        "train-labels-idx1-ubyte": np.zeros(3, np.uint8),
        "t10k-images-idx3-ubyte": np.zeros((2, 28, 28), np.uint8),
        "t10k-labels-idx1-ubyte": np.zeros(2, np.uint8),
    }.items():
        packed = gzip.compress(idx(array))
        (raw / f"{name}.gz").write_bytes(packed)
        resources.append((f"{name}.gz", hashlib.md5(packed).hexdigest()))
    monkeypatch.setattr(datasets.MNIST, "resources", resources)
    assert len(MNIST(str(tmp_path), download=True)) == 3


def test_cifar_pixels_and_names_are_torchvisions(tmp_path, monkeypatch):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (4, 3 * 32 * 32), dtype=np.uint8)

    def stored(name, content):
        (folder / name).write_bytes(pickle.dumps(content))
        return hashlib.md5((folder / name).read_bytes()).hexdigest()

    batch = stored("batch", {"data": pixels, "labels": [3, 1, 4, 1]})
    meta = stored("meta", {"label_names": [f"kind {i}" for i in range(10)]})
    monkeypatch.setattr(datasets.CIFAR10, "train_list", [["batch", batch]])
    monkeypatch.setattr(datasets.CIFAR10, "test_list", [])
    monkeypatch.setattr(datasets.CIFAR10, "meta", {"filename": "meta", "key": "label_names", "md5": meta})
    cifar = CIFAR10(str(tmp_path))
    assert np.array_equal(cifar.images.numpy(), pixels.reshape(4, 3, 32, 32))
    assert cifar.labels.tolist() == [3, 1, 4, 1]
    assert cifar.class_names[4] == "kind 4"
    assert CIFAR10(str(tmp_path), channels=1).images.shape == (4, 1, 32, 32)


def test_the_real_mnist_has_its_known_counts():
    mnist = MNIST(str(real("MNIST").parent), "test")
    assert mnist.images.shape == (10000, 1, 28, 28)
    assert mnist.labels.bincount().tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert mnist.images.float().mean().item() / 255 == pytest.approx(0.1325, abs=1e-4)
