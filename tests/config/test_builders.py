"""Small rooms: seeding, batches, average, schedules, images, meter, objective."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn

from ganrun.common import images
from ganrun.common.schedules import Constant, Cosine, Linear
from ganrun.common.seeding import mix
from ganrun.data.dataset import Dataset
from ganrun.data.loading.stream import Stream, prepare
from ganrun.losses.objective import Objective
from ganrun.training.ema import Average
from ganrun.training.meter import Meter


def numbered(count: int) -> Dataset:
    """Image i is all i."""
    pixels = torch.arange(count, dtype=torch.uint8).view(count, 1, 1, 1).expand(count, 1, 2, 2).contiguous()
    return Dataset(pixels, torch.arange(count), [str(i) for i in range(count)])


# -- seeding ----------------------------------------------------------------------------------------------------------


def test_neighbouring_seeds_and_steps_give_unrelated_numbers() -> None:
    seeds = {mix(seed, step) & 0xFFFFFFFF for seed in range(20) for step in range(500)}
    assert len(seeds) > 9990  # the CPU generator reads 32 bits
    assert mix(0, 1) != mix(1, 0)
    assert mix(3, -1) >= 0


# -- batches ----------------------------------------------------------------------------------------------------------


def test_each_epoch_shows_every_image_once_in_a_new_order() -> None:
    stream = Stream(numbered(12), 4, seed=0)
    epochs = [torch.cat([stream[3 * epoch + i]["label"] for i in range(3)]).tolist() for epoch in range(3)]
    assert all(sorted(epoch) == list(range(12)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


def test_a_batch_may_straddle_two_epochs_and_none_is_lost() -> None:
    stream = Stream(numbered(10), 4, seed=0)
    seen = torch.cat([stream[i]["label"] for i in range(5)]).tolist()
    assert sorted(seen[:10]) == sorted(seen[10:]) == list(range(10))


def test_any_batch_can_be_asked_for_directly() -> None:
    forward, backward = Stream(numbered(10), 3, seed=5), Stream(numbered(10), 3, seed=5)
    a = [forward[i]["label"].tolist() for i in range(8)]
    b = [backward[i]["label"].tolist() for i in reversed(range(8))]
    assert a == b[::-1]
    assert next(forward.starting_at(6))["label"].tolist() == a[6]


def test_ranks_share_the_global_batch() -> None:
    whole = Stream(numbered(10), 4, seed=0)
    parts = [Stream(numbered(10), 4, seed=0, rank=rank, world_size=2) for rank in range(2)]
    for step in range(6):
        assert torch.equal(whole[step]["label"], torch.cat([part[step]["label"] for part in parts]))


def test_a_batch_larger_than_the_data_is_refused() -> None:
    with pytest.raises(ValueError, match="batch_size=11 is larger than the data: 10"):
        Stream(numbered(10), 11, seed=0)


def test_black_is_minus_one_and_white_is_one() -> None:
    batch = {"image": torch.tensor([0, 255, 51], dtype=torch.uint8).view(3, 1, 1, 1), "label": torch.arange(3)}
    moved = prepare(batch, torch.device("cpu"))
    assert moved["image"].flatten().tolist() == pytest.approx([-1, 1, -0.6])
    assert moved["image"].dtype == torch.float32
    assert torch.equal(moved["label"], torch.arange(3))


def test_half_of_the_images_are_mirrored_and_pairs_stay_pairs() -> None:
    row = torch.tensor([0, 255], dtype=torch.uint8).view(1, 1, 1, 2).expand(400, 1, 1, 2).contiguous()
    torch.manual_seed(0)
    moved = prepare({"source": row, "target": row.clone()}, torch.device("cpu"), flip=True)
    mirrored = moved["source"][:, 0, 0, 0] > 0
    assert 150 < mirrored.sum() < 250
    assert torch.equal(moved["source"], moved["target"])


# -- average ----------------------------------------------------------------------------------------------------------


def test_the_average_halves_its_distance_in_one_half_life() -> None:
    module = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(module.weight)
    average = Average(module, half_life=1, batch_size=10)  # a thousand images: 100 updates
    nn.init.ones_(module.weight)
    for _ in range(100):
        average.update(updates=10**6)
    assert average.copy["weight"].item() == pytest.approx(0.5, abs=1e-3)


def test_the_average_forgets_the_random_start_quickly() -> None:
    module = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(module.weight)
    average = Average(module, half_life=1000, batch_size=1)
    nn.init.ones_(module.weight)
    average.update(updates=0)
    assert average.copy["weight"].item() == pytest.approx(0.9)  # decay (1 + 0) / (10 + 0)


def test_buffers_are_averaged_and_counters_are_copied() -> None:
    norm = nn.BatchNorm1d(1)
    average = Average(norm, half_life=1, batch_size=1000)  # decay 1/2
    norm.running_mean.fill_(4.0)
    norm.num_batches_tracked.fill_(9)
    average.update(updates=10**6)
    assert average.copy["running_mean"].item() == pytest.approx(2.0)
    assert average.copy["num_batches_tracked"].item() == 9


def test_applied_swaps_the_weights_in_and_out_even_after_an_error() -> None:
    module = nn.Linear(1, 1)
    average = Average(module, half_life=1, batch_size=1)
    before = module.weight.detach().clone()
    average.copy["weight"].fill_(7.0)
    with contextlib.suppress(RuntimeError), average.applied():
        assert module.weight.item() == 7.0
        raise RuntimeError
    assert torch.equal(module.weight, before)
    assert average.copy["weight"].item() == 7.0


# -- schedules --------------------------------------------------------------------------------------------------------


def test_schedules_pass_through_their_corners() -> None:
    assert [Constant().factor(p) for p in (0, 0.5, 1)] == [1, 1, 1]
    assert [Linear(start=0.5).factor(p) for p in (0, 0.5, 0.75, 1)] == [1, 1, 0.5, 0]
    assert Linear(end=0.1).factor(1) == pytest.approx(0.1)
    assert [Cosine().factor(p) for p in (0, 0.5, 1)] == pytest.approx([1, 0.5, 0])
    with pytest.raises(ValueError, match="start=1"):
        Linear(start=1)


# -- meter, objective -------------------------------------------------------------------------------------------------


def test_the_meter_gives_means_and_survives_being_saved() -> None:
    meter, again = Meter(), Meter()
    for value in (1.0, 2.0, 6.0):
        meter.add({"loss": torch.tensor(value)})
    again.load_state_dict(meter.state_dict(), torch.device("cpu"))
    assert meter.read_and_clear(3) == again.read_and_clear(3) == {"loss": 3.0}
    assert meter.read_and_clear(4) == {}


def test_an_objective_sums_its_terms_and_ignores_its_monitors() -> None:
    objective = Objective({"a": torch.tensor(1.0), "b": torch.tensor(2.5)}, {"seen": torch.tensor(100.0)})
    assert objective.total.item() == 3.5


# -- images -----------------------------------------------------------------------------------------------------------


def test_floats_become_bytes_and_wild_values_are_clipped() -> None:
    values = torch.tensor([-2.0, -1.0, 0.0, 1.0, 3.0]).view(5, 1, 1, 1)
    assert images.to_uint8(values).flatten().tolist() == [0, 0, 128, 255, 255]


def test_a_grid_carries_its_text_and_shows_small_images_large(tmp_path: Path) -> None:
    pictures = torch.zeros(4, 1, 16, 16, dtype=torch.uint8)
    images.save_grid(pictures, tmp_path / "g.png", columns=2, text={"step": 7})
    with Image.open(tmp_path / "g.png") as picture:
        assert picture.text == {"step": "7", "columns": "2", "rows": "2"}
        assert picture.size == (2 * 66 + 2, 2 * 66 + 2)


def test_captions_stand_under_their_pictures() -> None:
    picture = images.grid(torch.zeros(2, 3, 64, 64, dtype=torch.uint8), columns=2, captions=["+1.00", ""])
    assert picture.shape == (3, 64 + 12 + 4, 2 * 66 + 2)
    assert picture[:, 66:, :66].any()
    assert not picture[:, 66:, 66:].any()


@pytest.mark.parametrize(("count", "columns"), [(1, 1), (2, 2), (4, 2), (10, 4), (25, 5), (64, 8)])
def test_grids_are_as_square_as_it_gets(count: int, columns: int) -> None:
    assert images.columns_for(count) == columns
