"""Pictures in .tar shards."""

import io
import json
import pickle
import subprocess
import sys
import tarfile

import pytest
import torch
from pictures import encoded, noise

from ganrun.data import shards as room
from ganrun.data.cache_folder import user_cache
from ganrun.data.folder import Folder
from ganrun.data.listing import list_images
from ganrun.data.shards import expanded, refuse_unknown
from tests.waiting import HANG


def tar(path, members, **headers):
    """A .tar of {name: content}; content None makes a symbolic link."""
    path.parent.mkdir(exist_ok=True)
    with tarfile.open(path, "w", **headers) as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            if content is None:
                member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
            else:
                member.size = len(content)
            archive.addfile(member, io.BytesIO(content) if content is not None else None)
    return path


def sample(seed, label):
    return {f"{seed:03d}.png": encoded(noise(seed)), f"{seed:03d}.cls": str(label).encode()}


@pytest.fixture
def folder(tmp_path):
    """Two shards of three pictures, with labels 7, 10 and 7."""
    for shard in range(2):
        members = {}
        for i, label in enumerate((7, 10, 7)):
            members |= sample(3 * shard + i, label)
        tar(tmp_path / f"shards/part-{shard:03d}.tar", members)
    return tmp_path / "shards"


def test_a_folder_a_pattern_and_a_star_are_the_same_shards(folder):
    whole = Folder(str(folder))
    assert (len(whole), whole.class_names, whole.labels.tolist()) == (6, ["7", "10"], [0, 1, 0] * 2)
    for root in (folder / "part-{000..001}.tar", folder / "part-*.tar"):
        again = Folder(str(root))
        assert torch.equal(again.images, whole.images)
        assert torch.equal(again.labels, whole.labels)
    assert len(Folder(str(folder / "part-001.tar"))) == 3


@pytest.mark.parametrize("mode", ["memory", "stream"])
def test_shards_of_a_tree_are_the_tree_with_its_classes(tree, tmp_path, mode):
    root = tree("cats/0.png", "cats/1.png", "dogs/2.png")
    with tarfile.open(tmp_path / "all.tar", "w") as archive:
        archive.add(root, ".")
    packed, plain = Folder(str(tmp_path / "all.tar"), mode=mode, workers=0), Folder(str(root))
    every = torch.arange(3)
    assert packed.class_names == plain.class_names == ["cats", "dogs"]
    assert all(torch.equal(packed.take(every)[name], plain.take(every)[name]) for name in ("image", "label"))


def test_names_that_repeat_in_another_shard_are_other_pictures(tmp_path):
    for shard in range(3):
        tar(tmp_path / f"s/{shard}.tar", {"cats/0.png": encoded(noise(shard)), "cats/0.cls": b"%d" % shard})
    listing = list_images(str(tmp_path / "s"))
    assert [picture.name for picture in listing.pictures] == ["cats/0.png", "cats/1:0.png", "cats/2:0.png"]
    assert listing.labels == [0, 1, 2]


def test_a_json_may_say_the_class_and_what_says_none_leaves_its_picture_out(tmp_path):
    labels = [{"label": "cat"}, {"label": "ant", "more": 1}, {"caption": "x"}, [1], {"label": True}]
    members = {}
    for i, label in enumerate(labels):
        members |= {f"{i}.json": json.dumps(label).encode(), f"{i}.png": encoded(noise(i))}
    listing = list_images(str(tar(tmp_path / "a.tar", members)))
    assert (listing.class_names, listing.labels) == (["ant", "cat"], [1, 0])
    assert listing.notes == ["3 of 5 images have no .cls or .json and are left out"]
    assert len(list_images(str(tmp_path / "a.tar"), labelled=False)) == 5


def test_what_the_headers_say_is_read_once_until_a_shard_changes(folder, monkeypatch):
    walks = []
    original = room.walked
    monkeypatch.setattr(room, "walked", lambda *args: walks.append(1) or original(*args))
    assert list_images(str(folder)).pictures == list_images(str(folder)).pictures
    assert len(walks) == 2
    tar(folder / "part-001.tar", sample(9, 3))
    assert len(list_images(str(folder))) == 4
    assert len(walks) == 3
    (index, _) = (user_cache() / "shards").iterdir()
    for content in ("{", "[]", json.dumps({"made": 1, "rows": 2})):
        index.write_text(content)
        assert len(list_images(str(folder))) == 4


def test_a_read_only_home_only_costs_another_walk(folder, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert len(list_images(str(folder))) == 6


def test_links_and_paths_out_of_the_archive_are_left_out(tmp_path):
    picture = encoded(noise(1))
    path = tar(
        tmp_path / "a.tar",
        {
            "good.png": picture,
            "link.png": None,
            "../up.png": picture,
            "/etc/absolute.png": picture,
            "code.pyd": b"x",
            "code.pickle": b"x",
            "code.npy": b"x",
            ".hidden.png": picture,
        },
    )
    listing = list_images(str(path))
    assert [picture.name for picture in listing.pictures] == ["good.png"]
    assert [note.partition(" is left out")[0] for note in listing.notes] == ["'link.png'", "'/etc/absolute.png'"]
    assert list(tmp_path.parent.glob("up.png")) == []


def test_a_sparse_member_is_left_out(tmp_path):
    (tmp_path / "d").mkdir()
    with open(tmp_path / "d/holes.png", "wb") as file:
        file.truncate(2**24)
    (tmp_path / "d/good.png").write_bytes(encoded(noise(1)))
    made = subprocess.run(["tar", "-S", "-cf", tmp_path / "a.tar", "-C", tmp_path / "d", "."], check=False)
    if made.returncode:
        pytest.skip("needs GNU tar")
    listing = list_images(str(tmp_path / "a.tar"))
    assert [picture.name for picture in listing.pictures] == ["good.png"]


def header(name, size, kind=b"0"):
    member = tarfile.TarInfo(name)
    member.size, member.type = size, kind
    return member.tobuf(tarfile.GNU_FORMAT)


END = bytes(1024)
GOOD = header("a.png", 512) + bytes(512)
DAMAGED = {
    "empty": b"",
    "short": b"garbage",
    "garbage": b"garbage!" * 1000,
    "cut": header("a.png", 5000) + bytes(512),
    "beyond": header("a.png", 2**40) + END,
    "huge name": header("x", 2**40, b"L") + END,
    "long name": header("x", 2**21, b"L") + b"a" * 2**21 + GOOD + END,
    "negative": header("a.png", 0)[:124] + b"\xff" * 12 + header("a.png", 0)[136:] + END,
    "nested": header("x", 0, b"x") * 5000 + END,
    "tail": GOOD + b"garbage!" * 64 + END,
    "compressed": b"\x1f\x8b" + bytes(600),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_shard_is_named_in_one_line(tmp_path, name):
    path = tmp_path / "a.tar"
    path.write_bytes(DAMAGED[name])
    with pytest.raises(ValueError, match=r"^dataset\.root=\S+: \S+a\.tar is a damaged \.tar: .+$"):
        list_images(str(path))


def test_a_header_that_leads_back_does_not_turn_for_ever(tmp_path):
    """A negative size in a pax header (CVE-2025-8194); some versions of Python refuse it themselves."""
    record = b"14 size=-1536\n"  # back to this very record
    path = tmp_path / "a.tar"
    path.write_bytes(GOOD + header("x", len(record), b"x") + record.ljust(512, b"\0") + header("a.png", 0) + END)
    code = f"from ganrun.data.listing import list_images; list_images({str(path)!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=HANG, check=False)
    assert "damaged .tar" in done.stderr


@pytest.mark.parametrize(
    ("root", "said"),
    [
        ("nothing.tar", "no such folder"),
        ("x-{000..127}.tar", r"x-000\.tar is not there \(128 of 128"),
        ("x-{5..1}.tar", "names no shards"),
        ("x-{0..999999999}.tar", "names too many shards"),
        ("*.tar", "no file has such a name"),
        ("gone://place/a.tar", "cannot be read"),
    ],
)
def test_a_pattern_that_finds_nothing_is_named(tmp_path, monkeypatch, root, said):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((ValueError, FileNotFoundError), match=said):
        list_images(root)


def test_a_shard_without_pictures_holds_no_images(tmp_path):
    with pytest.raises(ValueError, match="holds no images"):
        list_images(str(tar(tmp_path / "a.tar", {"a.txt": b"x"})))
    tar(tmp_path / "s/0.tar", {})
    with pytest.raises(ValueError, match="holds no images"):
        list_images(str(tmp_path / "s"))


def test_a_folder_with_pictures_or_folders_beside_a_tar_stays_a_folder(tree, tmp_path):
    root = tree("0.png")
    tar(root / "a.tar", sample(1, 1))
    assert len(list_images(str(root))) == 1


def test_two_ranges_multiply_and_keep_their_zeros():
    assert expanded("a{08..10}/{1..2}.tar") == [f"a{a}/{b}.tar" for a in ("08", "09", "10") for b in (1, 2)]
    assert expanded("plain.tar") == ["plain.tar"]


@pytest.fixture
def remote(folder):
    fsspec = pytest.importorskip("fsspec")
    system = fsspec.filesystem("memory")
    for path in folder.iterdir():
        system.pipe(f"/{folder.parent.name}/{path.name}", path.read_bytes())
    return f"memory://{folder.parent.name}/part-{{000..001}}.tar"


def test_shards_behind_a_url_are_the_same(folder, remote):
    far, near = Folder(remote, mode="stream", workers=0), Folder(str(folder))
    every = torch.arange(6)
    assert all(torch.equal(far.take(every)[name], near.take(every)[name]) for name in ("image", "label"))
    assert torch.equal(pickle.loads(pickle.dumps(far)).take(every)["image"], near.images)


def test_a_url_out_of_a_file_is_only_followed_where_this_user_has_been(remote):
    node = {"clean": {"root": remote}}
    with pytest.raises(ValueError, match="a URL in a file is not downloaded"):
        refuse_unknown(node)
    list_images(remote)
    refuse_unknown(node)
