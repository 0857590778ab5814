"""An .npz made by somebody else: sized by its headers before it is unpacked, its class numbers bounded."""

from __future__ import annotations

import io
import os
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from greed import measured

from ganrun.cli.main import main
from ganrun.common.limits import SETTING
from ganrun.evaluation import npz_files, picture_sets

Refused = Callable[..., str]
PICTURES = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 1), dtype=np.uint8)
EVAL = ["eval", "real=a.npz", "fake=a.npz", "scores=kid", "device=cpu"]


def npy(array: np.ndarray, pickled: bool = False) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, array, allow_pickle=pickled)
    return file.getvalue()


def headed(text: str, content: bytes = b"", version: bytes = b"\1\0") -> bytes:
    """A member whose header is this text."""
    head = text.encode() + b"\n"
    return b"\x93NUMPY" + version + struct.pack("<H" if version == b"\1\0" else "<I", len(head)) + head + content


def claims(shape: object, dtype: str = "|u1", fortran: bool = False) -> bytes:
    return headed(f"{{'descr': {dtype!r}, 'fortran_order': {fortran}, 'shape': {shape}, }}")


def packed(path: Path, **members: bytes | np.ndarray) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", npy(content) if isinstance(content, np.ndarray) else content)
    return path


def labels(*numbers: int, dtype: Any = np.int64) -> np.ndarray:
    return np.array([numbers[i % len(numbers)] for i in range(len(PICTURES))], dtype)


HOSTILE: dict[str, tuple[dict[str, Any], str]] = {
    "a label of 2^40": ({"labels": labels(0, 2**40)}, "class numbers go from 0"),
    "a label of 2^20": ({"labels": labels(0, SETTING)}, "class numbers go from 0"),
    "labels beyond int64": ({"labels": labels(0, 2**64 - 1, dtype=np.uint64)}, "class numbers go from 0"),
    "a negative label": ({"labels": labels(0, -1)}, "class numbers go from 0"),
    "labels of fractions": ({"labels": labels(0, 1, dtype=np.float32)}, "not 6 class numbers"),
    "labels that are text": ({"labels": labels(0, 1).astype(str)}, "not 6 class numbers"),
    "labels that are objects": ({"labels": npy(labels(0, 1).astype(object), pickled=True)}, "not 6 class numbers"),
    "labels that are too many": ({"labels": np.zeros(7, np.int64)}, "not 6 class numbers"),
    "labels in a square": ({"labels": np.zeros((6, 1), np.int64)}, "not 6 class numbers"),
    "petabytes": ({"images": claims((10**9, 1000, 1000, 3))}, "would decompress to"),
    "a shape beyond 64 bits": ({"images": claims((2**70, 8, 8, 1))}, "would decompress to"),
    "a negative shape": ({"images": claims((-1, 8, 8, 1))}, "its shape is"),
    "a shape of fractions": ({"images": claims((1.5, 8, 8, 1))}, "header"),
    "a side beyond any": ({"images": claims((1, 10**6, 1, 1))}, "larger than"),
    "no pictures": ({"images": claims((0, 8, 8, 1))}, "holds no pictures"),
    "pictures without pixels": ({"images": claims((6, 0, 8, 1))}, "holds no pictures"),
    "objects": ({"images": npy(PICTURES.astype(object), pickled=True)}, "not uint8"),
    "floats": ({"images": PICTURES / 255}, "not uint8"),
    "two channels": ({"images": np.zeros((6, 8, 8, 2), np.uint8)}, "not uint8"),
    "a header that runs code": ({"images": headed("{'descr': __import__('os').system('touch canary')}")}, "header"),
    "a header of brackets": ({"images": headed("(" * 9000)}, "header"),
    "a long header": ({"images": claims((1,) * 9000)}, "header"),
    "another version": ({"images": headed("{}", version=b"\3\0")}, "version"),
    "no array": ({"images": b"not an array"}, "magic"),
    "nothing": ({"images": b""}, "a.npz"),
    "less than it says": ({"images": claims((6, 8, 8, 1))}, "cut short"),
    "no images": ({"images": None}, "holds no `images`"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_arrays_are_one_line(here: Path, name: str, refused: Refused) -> None:
    changes, says = HOSTILE[name]
    members = {"images": PICTURES, **changes}
    packed(here / "a.npz", **{key: content for key, content in members.items() if content is not None})
    assert says in refused(*EVAL)
    assert not (here / "canary").exists()


def test_three_gibibytes_of_zeros_in_three_megabytes_are_not_unpacked(here: Path) -> None:
    packed(here / "a.npz", images=claims((50, 8192, 8192, 1)) + bytes(2**24))
    found = measured({"eval": EVAL}, here)["eval"]
    assert found["code"] == 2, found
    assert "would decompress to 3,200 MiB" in found["said"], found
    assert found["MiB"] < 500, found


def test_a_pipe_a_folder_and_a_member_there_twice_are_one_line(here: Path, refused: Refused) -> None:
    os.mkfifo(here / "a.npz")
    assert "is a pipe" in refused(*EVAL)
    (here / "a.npz").unlink()
    (here / "a.npz").mkdir()
    assert "is a folder" in refused(*EVAL)
    (here / "a.npz").rmdir()
    with zipfile.ZipFile(here / "a.npz", "w") as archive:
        archive.writestr("images.npy", npy(PICTURES))
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("images.npy", npy(PICTURES))
    assert "more than once" in refused(*EVAL)


def test_members_elsewhere_in_the_archive_are_not_its_images(here: Path, refused: Refused) -> None:
    packed(here / "a.npz", **{"../images": PICTURES, "sub/images": PICTURES})
    assert "holds no `images`" in refused(*EVAL)


def test_an_archive_that_lies_about_sizes_gets_no_more_than_the_file_has(here: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(npz_files, "FLOOR", 100)
    packed(here / "a.npz", images=np.zeros((100, 32, 32, 1), np.uint8))
    data = bytearray((here / "a.npz").read_bytes())
    at = data.rfind(b"PK\1\2") + 20
    data[at : at + 4] = struct.pack("<I", 2**31)  # what the table of contents says of the stored size
    (here / "a.npz").write_bytes(data)
    with npz_files.opened(here / "a.npz") as found, pytest.raises(ValueError, match="would decompress"):
        found.read("images")


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int8, ">i8", np.uint64])
def test_what_is_sound_is_read_as_numpy_reads_it(here: Path, order: Any, dtype: Any) -> None:
    numbers = labels(7, 3, 3)
    np.savez_compressed(here / "a.npz", images=np.array(PICTURES, order=order), labels=numbers.astype(dtype))
    images, found = picture_sets.arrays(here / "a.npz")
    assert np.array_equal(images.permute(0, 2, 3, 1).numpy(), PICTURES)
    assert found is not None
    assert found.tolist() == numbers.tolist()


def test_there_are_as_many_classes_as_there_are_numbers(here: Path) -> None:
    np.savez(here / "a.npz", images=PICTURES, labels=labels(SETTING - 1, 5))
    data, _ = picture_sets.from_arrays(here / "a.npz", None, None)
    assert data.class_names == ["5", str(SETTING - 1)]
    assert data.labels is not None
    assert data.labels.tolist() == [1, 0, 1, 0, 1, 0]
    assert main([*EVAL, "kid.size=2", "kid.subsets=2", "n=6"]) in (0, 2)
