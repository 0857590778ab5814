"""Archives made by someone else: read in place, never unpacked, their names never believed.

`../`, absolute names, links, encryption, lying sizes and macOS's litter: tests/data/test_listing.py, test_folder.py;
what `apply` writes for such names: tests/commands/test_apply.py.
"""

from __future__ import annotations

import io
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import QUICK, SMALL
from greed import measured
from PIL import Image

from ganrun.cli.main import main
from ganrun.common.untrusted import MAX_MEMBERS, members_of
from ganrun.data.listing import list_images

TRAIN = ["train", "model=mlp", *QUICK, *SMALL, "dataset=folder", "dataset.image_size=8", "dataset.channels=3"]


def png(seed: int = 0) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), (seed, 0, 0)).save(file, "PNG")
    return file.getvalue()


def contents(count: int, stated: int, wide: bool = False) -> bytes:
    """A .zip that lists `count` members and states another number."""
    local = b"PK\3\4" + struct.pack("<HHHHHIIIHH", 20, 0, 0, 0, 33, 0, 0, 0, 5, 0) + b"a.png"
    entry = b"PK\1\2" + struct.pack("<HHHHHHIIIHHHHHII", 20, 20, 0, 0, 0, 33, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0)
    table = b"".join(entry + b"%05x.png" % number for number in range(count))
    size, start = len(table), len(local)
    end = b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, stated, stated, 2**32 - 1 if wide else size, start, 0)
    if wide:
        record = b"PK\6\6" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, count, count, size, start)
        end = record + b"PK\6\7" + struct.pack("<IQI", 0, start + size, 1) + end
    return local + table + end


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("stated", [3, 0xFFFF])
def test_a_million_members_are_refused_before_they_are_listed(
    here: Path, refused: Callable[..., str], stated: int, wide: bool
) -> None:
    (here / "many.zip").write_bytes(contents(10**6, stated, wide))
    assert "more than 400000 members" in refused(*TRAIN, "dataset.root=many.zip")


def test_members_are_counted_as_zipfile_finds_them(here: Path) -> None:
    for wide in (False, True):
        (here / "a.zip").write_bytes(contents(1000, 7, wide))
        with open(here / "a.zip", "rb") as file:
            assert members_of(file) == 1000 == len(zipfile.ZipFile(file).namelist())
    assert MAX_MEMBERS > 202_599, "all of CelebA is read from its .zip"


def test_a_million_members_take_no_memory(here: Path) -> None:
    (here / "many.zip").write_bytes(contents(10**6, 0xFFFF))
    found = measured({"train": [*TRAIN, "dataset.root=many.zip"]}, here)["train"]
    assert found["code"] == 2, found
    assert found["MiB"] < 500, found


def test_a_ten_gigabyte_member_is_never_unfolded(here: Path) -> None:
    """One that says so, one that is no more than 600 MiB, and one that says 400 bytes and holds 200 MiB of zeros."""
    with zipfile.ZipFile(here / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("good.png", png())
        archive.writestr("says_so.png", png(1))
        archive.writestr("lies.png", png(2) + bytes(200 * 2**20))
        with archive.open("large.png", "w") as member:
            for _ in range(60):
                member.write(bytes(10 * 2**20))
    data = bytearray((here / "a.zip").read_bytes())
    for name, size in ((b"says_so.png", 4 * 10**9), (b"lies.png", 400)):
        entry = data.rindex(b"PK\1\2", 0, data.rindex(name))
        data[entry + 24 : entry + 28] = struct.pack("<I", size)
    (here / "a.zip").write_bytes(data)
    found = measured({"train": [*TRAIN, "dataset.root=a.zip", "batch_size=1", "out=run"]}, here)["train"]
    assert found["code"] == 0, found
    assert found["MiB"] < 500, found
    assert "1 image of" in (here / "run/train.log").read_text()


def test_what_is_no_picture_in_a_zip_is_never_opened(here: Path) -> None:
    """A pickle in a shard, a .zip in the .zip, a script, and a symlink to the world."""

    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (here / "canary",)  # type: ignore[return-value]

    link = zipfile.ZipInfo("link.png")
    link.external_attr = 0o120777 << 16
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("inner.png", png())
    with zipfile.ZipFile(here / "shard.zip", "w") as archive:
        for number in range(4):
            archive.writestr(f"{number}.png", png(number))
        archive.writestr("labels.pkl", pickle.dumps(Evil()))
        archive.writestr("4.pickle.png", pickle.dumps(Evil()))
        archive.writestr("inner.zip", inner.getvalue())
        archive.writestr("setup.py", "open('canary', 'w')")
        archive.writestr(link, "/etc/passwd")
    assert [picture.name for picture in list_images(here / "shard.zip").pictures] == [
        "0.png", "1.png", "2.png", "3.png", "4.pickle.png",
    ]  # fmt: skip
    assert main([*TRAIN, "dataset.root=shard.zip", "out=run"]) == 0
    assert {path.name for path in here.iterdir()} == {"run", "shard.zip"}


def test_a_zip_in_a_zip_alone_holds_no_images(here: Path, refused: Callable[..., str]) -> None:
    with zipfile.ZipFile(here / "outer.zip", "w") as archive:
        archive.writestr("inner.zip", b"PK\5\6" + bytes(18))
    assert "holds no images" in refused(*TRAIN, "dataset.root=outer.zip")


@pytest.mark.parametrize("kind", [tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.CHRTYPE, tarfile.REGTYPE])
def test_a_link_or_a_device_in_a_tar_is_not_read(here: Path, refused: Callable[..., str], kind: bytes) -> None:
    member = tarfile.TarInfo("../a.png")
    member.type, member.linkname = kind, "/etc/passwd"
    for name, said in (("a.tar", "holds no images"), ("b.zip", "neither a folder nor a .zip")):
        with tarfile.open(here / name, "w") as archive:
            archive.addfile(member)
        assert said in refused(*TRAIN, f"dataset.root={name}")


@pytest.mark.parametrize(
    "data", [b"PK\5\6" + bytes(10), b"PK\5\6" + b"\xff" * 18, b"PK\3\4" + bytes(50) + b"PK\5\6" + bytes(18)]
)
def test_a_damaged_table_of_contents_is_one_line(here: Path, refused: Callable[..., str], data: bytes) -> None:
    (here / "a.zip").write_bytes(data)
    assert "a.zip" in refused(*TRAIN, "dataset.root=a.zip")


def test_cifars_pickles_are_opened_only_when_they_are_cifars(here: Path, refused: Callable[..., str]) -> None:
    """torchvision compares their MD5 first; this would notice if it stopped."""

    class Evil:
        def __reduce__(self) -> tuple[object, tuple[Path]]:
            return Path.touch, (here / "canary",)

    (here / "data/cifar-10-batches-py").mkdir(parents=True)
    for name in (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch", "batches.meta"):
        (here / "data/cifar-10-batches-py" / name).write_bytes(pickle.dumps(Evil()))
    assert "missing or damaged" in refused("train", "dataset=cifar10", "dataset.root=data", "steps=1")
    assert not (here / "canary").exists()
