"""Checkpoints: whole or not at all, checked, and never code."""

from __future__ import annotations

import hashlib
import io
import os
import random
import struct
import tracemalloc
from pathlib import Path

import pytest
import torch

from ganrun.checkpoints import checkpoint
from ganrun.checkpoints.find import find
from ganrun.common.errors import CheckpointError
from tests.same import differences

STATE = {
    "config": {"model": {"_target_": "ganrun.systems.gan.GAN", "sizes": [1, 2.5, None, True, "x"]}},
    "weights": {"a": torch.arange(6.0).view(2, 3), "b": torch.ones(2, dtype=torch.bfloat16)},
    "optimizer": {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"betas": [0.5, 0.9]}]},
}


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    checkpoint.save(STATE, tmp_path / "a.pt")
    state = checkpoint.load(tmp_path / "a.pt")
    assert state.pop("format_version") == checkpoint.FORMAT_VERSION
    assert state.pop("ganrun_version")
    assert differences(state, STATE) == []


def test_torch_opens_it_safely_without_ganrun(tmp_path: Path) -> None:
    checkpoint.save(STATE, tmp_path / "a.pt")
    state = torch.load(tmp_path / "a.pt", weights_only=True)
    assert torch.equal(state["weights"]["a"], STATE["weights"]["a"])


def test_the_same_state_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.pt", "b.pt"):
        checkpoint.save(STATE, tmp_path / name)
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "b.pt").read_bytes()


def test_a_checkpoint_is_written_piece_by_piece_with_the_bytes_of_one_that_is_made_whole_first(tmp_path: Path) -> None:
    state = {"weights": torch.arange(1_000_003, dtype=torch.uint8), "odd": [torch.ones(n) for n in range(5)]}
    checkpoint.save(state, tmp_path / "a.pt")
    buffer = io.BytesIO()
    torch.save({"format_version": 1, "ganrun_version": checkpoint.__version__, **checkpoint.to_builtin(state)}, buffer)
    body = buffer.getvalue()[:-2] + struct.pack("<H", checkpoint._COMMENT_SIZE)
    comment = checkpoint._MARK + hashlib.sha256(body).hexdigest().encode()
    assert (tmp_path / "a.pt").read_bytes() == body + comment


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_the_seal_is_the_same_however_its_pieces_are_cut(cut: int) -> None:
    data, file, once = bytes(range(17)), io.BytesIO(), io.BytesIO()
    sealed, whole = checkpoint.Sha256Writer(file), checkpoint.Sha256Writer(once)
    for start in range(0, len(data), cut):
        sealed.write(memoryview(data)[start : start + cut])
    whole.write(data)
    sealed.end(), whole.end()
    assert file.getvalue() == once.getvalue()
    assert file.getvalue().startswith(data[:-2] + struct.pack("<H", checkpoint._COMMENT_SIZE))


def test_writing_and_reading_a_checkpoint_takes_no_copy_of_the_file_in_memory(tmp_path: Path) -> None:
    """tracemalloc counts what Python holds: pieces of the file, but no tensors."""
    checkpoint.save(state := {"weights": torch.zeros(2**21)}, tmp_path / "a.pt")  # 8 MiB
    tracemalloc.start()
    try:
        checkpoint.save(state, tmp_path / "a.pt")
        written = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        checkpoint.load(tmp_path / "a.pt")
        read = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert written < 2**20
    assert read < 1.2 * 2**23  # the file once: what is checked is what is loaded


def test_a_disk_that_fills_in_the_middle_of_a_checkpoint_is_told_by_its_own_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint.save({"n": 1}, tmp_path / "a.pt")
    put = checkpoint.Sha256Writer.put

    def full(self: checkpoint.Sha256Writer, data: bytes) -> None:
        if self.file.tell() > 1000:
            self.file = Full()
        put(self, data)

    class Full(io.BytesIO):
        def write(self, data: object) -> int:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint.Sha256Writer, "put", full)
    with pytest.raises(OSError, match="No space"):
        checkpoint.save({"weights": torch.zeros(10_000)}, tmp_path / "a.pt")
    assert checkpoint.load(tmp_path / "a.pt")["n"] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a.pt"]


def test_one_flipped_byte_anywhere_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    checkpoint.save(STATE, path)
    data = path.read_bytes()
    rng = random.Random(0)
    for offset in [0, len(data) - 1, *rng.sample(range(len(data)), 98)]:
        path.write_bytes(data[:offset] + bytes([data[offset] ^ (1 << rng.randrange(8))]) + data[offset + 1 :])
        with pytest.raises(CheckpointError):
            checkpoint.load(path)


@pytest.mark.parametrize("content", [b"", b"PK", b"hello", b"<html>" * 1000])
def test_a_file_that_is_no_checkpoint_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.pt").write_bytes(content)
    with pytest.raises(CheckpointError, match="not a checkpoint"):
        checkpoint.load(tmp_path / "a.pt")


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    checkpoint.save(STATE, tmp_path / "a.pt")
    data = (tmp_path / "a.pt").read_bytes()
    (tmp_path / "a.pt").write_bytes(data[: len(data) // 2])
    with pytest.raises(CheckpointError, match="cut short"):
        checkpoint.load(tmp_path / "a.pt")


def test_code_inside_a_checkpoint_never_runs(tmp_path: Path) -> None:
    """A pickle that would make a folder, under a valid checksum."""

    class Bad:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "canary"),)

    buffer = io.BytesIO()
    torch.save({"format_version": 1, "bad": Bad()}, buffer)
    body = buffer.getvalue()[:-2] + struct.pack("<H", checkpoint._COMMENT_SIZE)
    (tmp_path / "a.pt").write_bytes(body + checkpoint._MARK + hashlib.sha256(body).hexdigest().encode())
    with pytest.raises(CheckpointError, match="safely"):
        checkpoint.load(tmp_path / "a.pt")
    assert not (tmp_path / "canary").exists()


def test_only_plain_things_can_be_saved(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"state\.config\.path is a PosixPath"):
        checkpoint.save({"config": {"path": Path("x")}}, tmp_path / "a.pt")
    assert not list(tmp_path.iterdir())


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint.save({"n": 1}, tmp_path / "a.pt")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        checkpoint.save({"n": 2}, tmp_path / "a.pt")
    assert checkpoint.load(tmp_path / "a.pt")["n"] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a.pt"]


def test_a_newer_format_is_named(tmp_path: Path) -> None:
    checkpoint.save({"format_version": 99}, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match="format 99"):
        checkpoint.load(tmp_path / "a.pt")


def test_a_reference_is_a_file_a_run_or_last(tmp_path: Path) -> None:
    for name, when in (("old", 1), ("new", 2)):
        (tmp_path / name).mkdir()
        checkpoint.save({}, tmp_path / name / "checkpoints" / "last.pt")
        os.utime(tmp_path / name / "checkpoints" / "last.pt", (when, when))
    newest = tmp_path / "new" / "checkpoints" / "last.pt"
    assert find("last", tmp_path) == newest
    assert find(tmp_path / "new") == newest
    assert find(newest) == newest
    for wrong in (tmp_path / "none", tmp_path):
        with pytest.raises(CheckpointError):
            find(wrong)
