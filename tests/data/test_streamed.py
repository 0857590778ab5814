"""Pictures that are decoded whenever they are drawn."""

import pickle
import shutil

import pytest
import torch
from pictures import encoded, noise
from PIL import Image

from ganrun.data.damage import Noise
from ganrun.data.damaged import Damaged
from ganrun.data.folder import Folder
from ganrun.data.loading.stream import Stream
from ganrun.data.paired import Paired
from ganrun.data.parts import parts, rows_of_parts
from ganrun.data.sources import Archive, Picture
from ganrun.data.streamed import Packed
from ganrun.data.unpaired import Unpaired

NAMES = [f"{kind}/{i}.png" for kind in "ab" for i in range(4)]


def same(one, other):
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def both(make, **options):
    return make(mode="memory", **options), make(mode="stream", workers=1, **options)


def check(memory, streamed):
    assert streamed.workers == 1
    assert (len(memory), memory.channels, memory.image_size) == (len(streamed), streamed.channels, streamed.image_size)
    one, other = Stream(memory, 3, seed=1), Stream(streamed, 3, seed=1)
    for step, batch in zip(range(4, 8), other.starting_at(4), strict=False):
        same(batch, one[step])
        same(other[step], one[step])


def test_a_folder_and_a_zip_give_the_same_batches_streamed_as_from_memory(tree, zipped):
    root = tree(*NAMES)
    for place in (root, zipped(root)):
        check(*both(Folder, root=str(place)))


@pytest.mark.parametrize("swap", [False, True])
def test_pairs_too(tree, swap):
    one, other = tree("0.png", "1.png", "2.png", root="one"), tree("0.png", "1.png", "2.png", root="other")
    check(*both(Paired, root_source=str(one), root_target=str(other), image_size=8, scale=2, swap=swap))


@pytest.mark.parametrize("swap", [False, True])
def test_halves_too(tree, swap):
    root = tree("0.png", "1.png")
    for seed in range(3):
        (root / f"{seed}.png").write_bytes(encoded(noise(seed, (16, 8))))
    check(*both(Paired, root=str(root), swap=swap))


def test_unpaired_domains_too(tree):
    check(*both(Unpaired, root_a=str(tree(*NAMES)), class_a="a", class_b="b"))


def test_streaming_draws_nothing_from_the_randomness_of_training(tree):
    batches = Stream(Folder(str(tree(*NAMES)), mode="stream", workers=1), 2, seed=0).starting_at(0)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    next(batches)
    assert torch.equal(torch.get_rng_state(), before)


def broken_first(tree):
    root = tree(*NAMES)
    (root / "a/3.png").write_bytes(b"no picture")
    return str(root)


@pytest.mark.parametrize("workers", [0, 2])
def test_the_next_sound_picture_takes_the_place_of_a_broken_one_with_its_own_label(tree, caplog, workers):
    root = broken_first(tree)
    data = Folder(root, mode="stream", workers=workers)
    for step, batch in zip(range(8), Stream(data, 8, seed=0).starting_at(0), strict=False):
        assert len(batch["image"]) == 8
        assert batch["label"].sum() == 5, step
    assert len([line for line in caplog.messages if "'a/3.png' is broken" in line]) == 1
    taken = data.take(torch.tensor([3, 4]))
    assert torch.equal(taken["image"][0], taken["image"][1])


def test_a_pair_with_a_broken_side_is_replaced_as_a_pair(tree):
    one, other = tree("0.png", "1.png", root="one"), tree("0.png", "1.png", root="other")
    (one / "0.png").write_bytes(b"")
    data = Paired(root_source=str(one), root_target=str(other), mode="stream", image_size=8, channels=3)
    same(data.take(torch.tensor([0])), data.take(torch.tensor([1])))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_broken_picture_may_be_refused_in_one_line(tree, workers):
    data = Folder(broken_first(tree), mode="stream", workers=workers, broken="refuse")
    with pytest.raises(OSError, match=r"^dataset\.root=\S+: 'a/3.png' is broken, mend or delete it: .*$"):
        list(zip(range(9), Stream(data, 4, seed=0).starting_at(0), strict=False))


def test_data_that_are_gone_end_the_run(tree, monkeypatch):
    root = tree(*NAMES)
    data = Folder(str(root), mode="stream", workers=0)
    for name in NAMES:
        (root / name).unlink()
    monkeypatch.setattr("ganrun.data.streamed.TRIES", 3)
    with pytest.raises(OSError, match="3 images in a row cannot be read"):
        data.take(torch.tensor([0]))


def test_a_packed_listing_is_the_listing():
    pictures = [Picture("ä/0.png", 2**40, 2**62), Picture("\udcff.png", 0, 1, 7, 2**50)]
    assert [Packed(pictures)[i] for i in range(2)] == pictures


def test_a_forked_worker_opens_a_zip_of_its_own(tree, zipped, monkeypatch):
    archive = Archive(zipped(tree("0.png")))
    opened = archive.zip
    assert archive.zip is opened
    monkeypatch.setattr("os.getpid", lambda: -1)
    assert archive.zip is not opened


def test_a_worker_may_be_started_afresh(tree, zipped):
    """Where processes are not forked, the data reach them as a pickle."""
    data = Folder(str(zipped(tree(*NAMES))), mode="stream")
    same(pickle.loads(pickle.dumps(data)).take(torch.arange(3)), data.take(torch.arange(3)))


ROWS = 12


@pytest.mark.parametrize("crop", [None, 8])
def test_a_held_out_picture_never_takes_the_place_of_a_broken_one(tmp_path, crop):
    """For each kind of data; nor does one that is learnt from stand in for a held-out one."""
    root = tmp_path / "whole"
    other = tmp_path / "other"
    root.mkdir()
    for row in range(ROWS):
        (root / f"{row:02}.png").write_bytes(encoded(Image.new("RGB", (16, 16), (20 * row,) * 3)))
    options = {"mode": "stream", "workers": 0, "crop": crop} | ({} if crop else {"image_size": 16})
    kept, held = (part.tolist() for part in rows_of_parts(ROWS, 0.3))
    broken = [next(row for row in rows if (row + 1) % ROWS not in rows) for rows in (kept, held)]
    for row in broken:
        (root / f"{row:02}.png").write_bytes(b"broken")
    shutil.copytree(root, other)
    makers = [
        lambda: Folder(str(root), channels=3, **options),
        lambda: Damaged(Folder(str(root), channels=3, **options), {"noise": Noise(0)}),
        lambda: Paired(root_source=str(root), root_target=str(root), channels=3, **options),
        lambda: Unpaired(root_a=str(root), root_b=str(other), channels=3, **options),
    ]
    for make in makers:
        for part, rows in zip(parts(make(), 0.3), (kept, held), strict=True):
            same = pickle.loads(pickle.dumps(part)).take(torch.arange(len(part)))
            for name, images in same.items():
                seen = {round(float(image.float().mean()) / 20) for image in images}
                assert seen == {*rows} - {*broken}, (type(part.whole), name)
