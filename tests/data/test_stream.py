"""Which items a step takes, and batches made ready ahead of time."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from ganrun.checkpoints import checkpoint
from ganrun.data.dataset import Dataset
from ganrun.data.loading.stream import Stream
from ganrun.training import runs
from tests.same import differences
from tests.waiting import until


def numbered(count: int) -> Dataset:
    """Image i is all i."""
    pixels = torch.arange(count, dtype=torch.uint8).view(count, 1, 1, 1).expand(count, 1, 2, 2).contiguous()
    return Dataset(pixels, torch.arange(count), [str(i) for i in range(count)])


def test_a_step_is_what_its_indices_take() -> None:
    for rank in range(2):
        stream = Stream(numbered(10), 4, seed=3, rank=rank, world_size=2)
        for step in (0, 7, 2, 3):  # 2 straddles two epochs
            taken = stream.data.take(stream.indices(step))
            assert all(torch.equal(tensor, stream[step][name]) for name, tensor in taken.items())
            assert stream.indices(step).shape == (2,)


def test_the_order_lies_where_the_data_are() -> None:
    data = numbered(6)
    here = Stream(data, 2, seed=0).indices(1)
    data.device = torch.device("meta")
    assert Stream(data, 2, seed=0).indices(1).device.type == "meta"
    assert here.device.type == "cpu"


def test_ranks_and_batches_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="batch_size=6 is not divisible by the 4 ranks: try 8"):
        Stream(numbered(10), 6, seed=0, world_size=4)
    with pytest.raises(ValueError, match="16 ranks, but the data have only 10 images"):
        Stream(numbered(10), 10, seed=0, world_size=16)


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "batches"]


@pytest.fixture
def pinned(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """What was brought to pinned memory, by a machine that has none."""
    brought: list[Tensor] = []
    monkeypatch.setattr(Tensor, "pin_memory", lambda self: brought.append(self) or self)
    return brought


def test_batches_in_memory_need_no_thread() -> None:
    next(Stream(numbered(6), 2, seed=0).starting_at(0))
    assert threads() == []


def test_pinned_batches_are_the_same_and_come_a_few_ahead(pinned: list[Tensor]) -> None:
    data = numbered(9)
    plain = Stream(data, 2, seed=0)
    data.pinned = True
    batches = Stream(data, 2, seed=0).starting_at(3)
    for step in range(3, 9):
        assert torch.equal(next(batches)["label"], plain[step]["label"])
    until(lambda: len(pinned) > 2 * 6)
    assert len(pinned) <= 2 * (6 + 5), "ahead, but not without end"
    batches.close()  # type: ignore[attr-defined]
    until(lambda: threads() == [])


def test_what_goes_wrong_in_the_thread_is_raised_in_its_turn(pinned: list[Tensor]) -> None:
    data = numbered(9)
    data.pinned = True
    stream = Stream(data, 3, seed=0)
    indices = stream.indices

    def gone(step: int) -> Tensor:
        if step == 2:
            raise OSError("the disk is gone")
        return indices(step)

    stream.indices = gone  # type: ignore[method-assign]
    batches = stream.starting_at(0)
    next(batches), next(batches)
    with pytest.raises(OSError, match="the disk is gone"):
        next(batches)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Twenty small pictures of two classes."""
    for i in range(20):
        place = tmp_path / f"pictures/{'ab'[i % 2]}/{i}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.frombytes("L", (16, 16), random.Random(i).randbytes(256)).save(place)
    return tmp_path / "pictures"


def test_a_streamed_run_and_its_resumed_half_are_the_run_from_memory(
    tiny: Callable[..., dict[str, Any]], pictures: Path, tmp_path: Path
) -> None:
    ends = []
    for name, words in (("memory", []), ("stream", []), ("stream", ["steps=2"])):
        common = ["model=dcgan", "dataset=folder", f"dataset.root={pictures}", f"dataset.mode={name}"]
        config = tiny(*common, "dataset.workers=1", *(words or ["steps=5"]))
        folder = tmp_path / f"{name}-{len(words)}"
        runs.train(config, folder)
        if words:
            runs.train({**config, "steps": 5}, folder, state=checkpoint.load(folder / "checkpoints/last.pt"))
        state = checkpoint.load(folder / "checkpoints/last.pt")
        ends.append({name: part for name, part in state.items() if name != "config"})
    assert differences(ends[0], ends[1]) == differences(ends[0], ends[2]) == []
