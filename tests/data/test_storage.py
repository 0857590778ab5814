"""Where decoded pictures live."""

import math
import os

import pytest
import torch
from pictures import encoded, noise

from ganrun.common.untrusted import only_reads
from ganrun.data import storage as module
from ganrun.data.cache_folder import user_cache
from ganrun.data.dataset import Dataset
from ganrun.data.folder import Folder
from ganrun.data.storage import Storage


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("mode", "strem"),
        ("cache_gib", 0),
        ("cache_gib", -1),
        ("cache_gib", math.nan),
        ("cache_gib", True),
        ("workers", -1),
        ("workers", 65),
        ("workers", "many"),
        ("workers", 1.5),
        ("resident", "maybe"),
    ],
)
def test_a_value_that_means_nothing_is_named(key, value):
    with pytest.raises(ValueError, match=f"dataset.{key}={value} must be"):
        Storage(**{key: value})


def test_automatically_only_many_pictures_are_kept_in_the_users_cache_folder(tree, monkeypatch):
    root = str(tree("0.png", "1.png", "2.png"))
    assert Folder(root).workers is None
    assert not (user_cache() / "images").exists()
    monkeypatch.setattr(module, "SMALL", 2)
    Folder(root)
    assert list((user_cache() / "images").glob("*.npy"))
    assert Storage(cache=None).folder(10**6) is None


def test_what_fits_in_half_of_the_memory_is_decoded_and_more_is_streamed(tree, monkeypatch, caplog):
    root, size = str(tree("0.png", "1.png")), 2 * 3 * 8 * 8
    monkeypatch.setattr(module, "free_memory", lambda: 2 * size)
    assert Folder(root, cache=None).workers is None
    monkeypatch.setattr(module, "free_memory", lambda: 2 * size - 1)
    assert Folder(root, cache=None, workers=3).workers == 3
    assert "more than half of the free memory" in caplog.text
    assert Folder(root, cache=None, mode="memory").workers is None


def test_a_read_only_cache_of_somebody_else_is_used(tree, tmp_path):
    root, place = str(tree("0.png", "1.png")), tmp_path / "cache"
    first = Folder(root, cache=str(place))
    for path in (*place.iterdir(), place):
        path.chmod(0o555)
    try:
        assert torch.equal(Folder(root, cache=str(place)).images, first.images)
    finally:
        place.chmod(0o755)


def test_free_memory_is_known_here():
    assert (module.free_memory() or 0) > 2**20


def test_workers_are_one_less_than_cores(monkeypatch):
    for cores, workers in ((1, 1), (2, 1), (4, 3), (64, 8)):
        monkeypatch.setattr(os, "cpu_count", lambda cores=cores: cores)
        assert Storage().processes == workers


def test_images_lie_on_the_device_when_they_fit(monkeypatch):
    monkeypatch.setattr("ganrun.data.dataset.free_on", lambda device: 4 * 10 * 16)
    gpu = torch.device("cuda")
    for count, resident, stays in ((9, "auto", True), (10, "auto", False), (10, True, True), (9, False, False)):
        data = Dataset(torch.zeros(count, 1, 4, 4, dtype=torch.uint8), torch.arange(count), resident=resident)
        monkeypatch.setattr(torch.Tensor, "to", lambda self, device: self)  # the CPU stands in
        moved = data.to(gpu)
        assert (moved.device == gpu, moved.pinned) == (stays, not stays)
        assert data.device == torch.device("cpu"), "the data of other runs stay where they are"
        monkeypatch.undo()
        monkeypatch.setattr("ganrun.data.dataset.free_on", lambda device: 4 * 10 * 16)


def test_what_a_file_says_of_the_cache_leaves_other_caches_alone(tmp_path):
    node = {"root": "x", "cache": "auto", "cache_gib": 1e-9, "clean": {"cache": str(tmp_path), "cache_gib": 1e9}}
    assert only_reads(node) == {"root": "x", "cache": "auto", "clean": {"cache": None}}


def test_a_streamed_folder_lies_nowhere(tree):
    (root := tree("0.png")).joinpath("1.png").write_bytes(encoded(noise(3)))
    data = Folder(str(root), mode="stream", resident=True)
    assert data.nbytes == 0
    assert data.to(torch.device("cpu")).device == torch.device("cpu")
