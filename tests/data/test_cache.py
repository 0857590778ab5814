"""Decoded images kept on disk."""

import json
import os
import subprocess
import sys

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
    assert sorted(path.rpartition(".")[2] for path in os.listdir(place) if path[0] != ".") == ["json", "npy"]


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
    assert [path for path in os.listdir(tmp_path / "cache") if not path.endswith(".lock")] == []


def build(root, place):
    """In a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", BUILD, str(root), str(place)],
        stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip


BUILD = """
import sys, time
from ganrun.data import cache
from ganrun.data.decode import Decoder, crop
from ganrun.data.storage import Storage
from ganrun.data.listing import list_images
original = cache.decode_all
def slow(*args):
    print("decoded", flush=True)
    time.sleep(0.5)
    return original(*args)
cache.decode_all = slow
print(Storage(cache=sys.argv[2]).load(list_images(sys.argv[1]), Decoder(3, (8, 8), crop))[0].sum())
"""


def test_two_processes_decode_once_and_see_the_same(tree, tmp_path):
    root = tree("0.png", "1.png")
    together = [build(root, tmp_path / "cache") for _ in range(2)]
    said = [process.communicate()[0].split() for process in together]
    assert sorted(map(len, said)) == [1, 2]
    assert said[0][-1] == said[1][-1] == str(Folder(str(root)).images.sum().item())


NAMES = [f"{i}.png" for i in range(100)]


def filled(tree, place, name, **options):
    """A data set of 100 pictures whose decoded form, 19,328 bytes, is kept in `place`."""
    root = place.parent / name
    return Folder(str(root if root.exists() else tree(*NAMES, root=name)), cache=str(place), **options)


def kept(place):
    return sorted(path.stem.partition("-")[0] for path in place.glob("*.npy"))


def test_what_was_used_least_recently_makes_room(tree, tmp_path):
    for name in "abc":
        filled(tree, tmp_path / "cache", name)
    for when, stem in enumerate("abc"):
        (manifest,) = (tmp_path / "cache").glob(f"{stem}-*.json")
        os.utime(manifest, (when, when))
    filled(tree, tmp_path / "cache", "a")  # used again
    filled(tree, tmp_path / "cache", "d", cache_gib=70_000 / 2**30)
    assert kept(tmp_path / "cache") == ["a", "c", "d"]


def test_a_damaged_entry_is_replaced_in_its_own_room(tree, tmp_path, decodes):
    for _ in range(2):
        assert filled(tree, tmp_path / "cache", "a", cache_gib=30_000 / 2**30).workers is None
        (images,) = (tmp_path / "cache").glob("*.npy")
        images.write_bytes(images.read_bytes()[:-1])
    assert len(decodes) == 2


def test_what_is_in_use_stays_and_the_newcomer_is_streamed(tree, tmp_path, caplog):
    first = filled(tree, tmp_path / "cache", "a")
    second = filled(tree, tmp_path / "cache", "b", cache_gib=30_000 / 2**30)
    assert kept(tmp_path / "cache") == ["a"]
    assert second.workers is not None
    (line,) = caplog.messages
    assert "entries in use fill" in line
    assert len(first) == 100


def test_what_a_killed_process_left_makes_room(tree, tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache/.old-0123456789abcdef.part").write_bytes(bytes(60_000))
    (tmp_path / "cache/.old-0123456789abcdef.1.use").touch()
    filled(tree, tmp_path / "cache", "a", cache_gib=70_000 / 2**30)
    assert kept(tmp_path / "cache") == ["a"]
    assert not list((tmp_path / "cache").glob(".old*.part"))


def test_a_file_of_somebody_else_is_never_deleted(tree, tmp_path):
    (tmp_path / "cache").mkdir()
    for name in ("mine.npy", "mine-0123456789abcdef.npy", "mine.json", "mine-0123456789abcdef.json"):
        (tmp_path / "cache" / name).write_text("[]".rjust(60_000))
    filled(tree, tmp_path / "cache", "a", cache_gib=30_000 / 2**30)
    assert kept(tmp_path / "cache") == ["a", "mine", "mine"]


def test_a_large_cache_is_read_through_only_when_somebody_wrote_to_it(tree, tmp_path, monkeypatch, decodes):
    first = filled(tree, tmp_path / "cache", "a").images.clone()
    monkeypatch.setattr(room, "READ_WHOLE", 1000)
    read = []
    original = room.checksum
    monkeypatch.setattr(room, "checksum", lambda path: read.append(path) or original(path))
    assert torch.equal(filled(tree, tmp_path / "cache", "a").images, first)
    assert read == []
    (images,) = (tmp_path / "cache").glob("*.npy")
    content = images.read_bytes()
    images.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    os.utime(images, (1, 1))
    assert torch.equal(filled(tree, tmp_path / "cache", "a").images, first)
    assert len(decodes) == 2


@pytest.mark.parametrize("problem", ["file", "full", "small"])
def test_without_a_place_to_keep_them_pictures_are_streamed_with_one_line(tree, tmp_path, monkeypatch, caplog, problem):
    root, place = str(tree("0.png", "1.png")), tmp_path / "cache"
    if problem == "file":
        place.write_text("in the way")
    if problem == "full":
        monkeypatch.setattr(room.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 0}))
    options = {"cache": str(place), "cache_gib": 1e-9 if problem == "small" else 1}
    streamed, memory = Folder(root, **options), Folder(root, **options, mode="memory")
    every = torch.arange(2)
    assert streamed.workers is not None
    assert memory.workers is None
    assert torch.equal(streamed.take(every)["image"], memory.take(every)["image"])
    assert len(caplog.messages) == 2
    assert all(line.startswith(f"dataset.cache={place} cannot be used: ") for line in caplog.messages)
