"""memory: the plan's line has everything in it that a run takes, and warns where there is less."""

from __future__ import annotations

import functools
import platform
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ganrun.common.errors import UserError
from ganrun.data import cgroups
from ganrun.data.dataset import Dataset
from ganrun.losses.objective import Objective
from ganrun.systems.system import Batch, System, Turn
from ganrun.training import runs
from ganrun.training.planning import activations, memory, trial_steps
from ganrun.training.planning import plan as plans
from ganrun.training.planning.plan import plan

MIB = 2**20


class Squares(System):
    """One player, a weight of 10 numbers; its turn makes two tensors as large as the batch, and a gradient for each."""

    def __init__(self) -> None:
        super().__init__()
        self.only = nn.Linear(10, 1, bias=False)

    def players(self) -> dict[str, nn.Module]:
        return {"only": self.only}

    def turns(self, step: int) -> list[Turn]:
        return [Turn("only", self.turn)]

    def turn(self, batch: Batch) -> Objective:
        return Objective({"sum": (batch["image"] * self.only.weight).exp().sum()})


def squares(kind: type[Squares] = Squares) -> Squares:
    with torch.device("meta"):
        return kind()


SHAPE = (("image", (10,), torch.float32),)


def test_a_step_is_counted_tensor_by_tensor() -> None:
    """1000 items of 10 floats are 40,000 bytes: the batch, its product with the weight, the exponential. On the way
    back the product has gone, and the exponential's gradient takes its place. Two scalars are the sum and its gradient.
    """
    assert activations.peak_of_a_step(squares(), SHAPE, 1000) == 3 * 40_000 + 2 * 4
    assert activations.peak_of_a_step(squares(), SHAPE, 2000) == 3 * 80_000 + 2 * 4


def test_a_batch_in_parts_takes_less() -> None:
    """The whole batch stays; the two tensors that are made of it are those of a quarter."""
    assert activations.peak_of_a_step(squares(), SHAPE, 1000, accumulate=4) == 40_000 + 2 * 10_000 + 12 * 4


def test_bf16_takes_less(tiny) -> None:
    words = ["model=dcgan", "batch_size=64", "hooks=quiet", "steps=1"]
    wide, narrow = (plan(tiny(*words, f"precision={name}")).memory.activations for name in ("fp32", "bf16"))
    assert narrow < 0.8 * wide


def test_a_game_that_looks_at_numbers_is_told_by_what_real_turns_keep(tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tiny("model=dcgan", "batch_size=64", "hooks=quiet", "steps=1")
    told = plan(config).memory.activations
    monkeypatch.setattr(trial_steps, "peak_of_a_step", lambda *args: None)
    kept = plan(config).memory.activations
    assert told / 2 < kept < told * 2


class Nosy(Squares):
    def turn(self, batch: Batch) -> Objective:
        return super().turn(batch) if batch["image"].sum().item() < 1e9 else Objective({})


def test_what_cannot_be_played_without_numbers_is_unknown_and_no_error() -> None:
    assert activations.peak_of_a_step(squares(Nosy), SHAPE, 10) is None


@functools.lru_cache
def scale(count: int) -> Tensor:
    return torch.full((count, 1), 0.5)


class Remembering(nn.Module):
    """A user's network that keeps a tensor for each size of a batch, for all its instances."""

    def __init__(self, latent_size: int, **rest: object) -> None:
        super().__init__()
        self.layer = nn.Linear(latent_size, 256)

    def forward(self, latents: Tensor) -> Tensor:
        return (scale(len(latents)) * self.layer(latents)).tanh().view(-1, 1, 16, 16)


def test_a_users_network_may_keep_tensors_outside_of_itself(tiny, tmp_path: Path) -> None:
    scale.cache_clear()
    config = tiny("model=mlp", "hooks=quiet", "steps=1")
    config["model"]["generator"]["_target_"] = "tests.training.test_memory.Remembering"
    assert plan(config).memory.activations > 0
    assert type(scale(8)) is Tensor  # or the run would go on with tensors that hold nothing, without a word
    assert runs.train(config, tmp_path).step == 1


def test_networks_too_large_to_be_rehearsed_have_a_number_all_the_same(tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tiny("model=dcgan", "hooks=quiet", "steps=1")
    told = plan(config).memory.activations
    monkeypatch.setattr(trial_steps, "MOST_WEIGHTS", 0)
    monkeypatch.setattr(trial_steps, "bytes_of_real_turns", lambda *args: pytest.fail("that would take too long"))
    assert plan(config).memory.activations == told


# -- the sum --------------------------------------------------------------------------------------------------------


def test_the_total_is_of_the_whole_process(tiny) -> None:
    found = plan(tiny("model=dcgan", "steps=10", "checkpoint.every=5")).memory
    assert found.process > 100 * MIB  # torch alone
    parts = [found.process, found.held, found.data, found.activations, found.around, found.copy]
    assert found.total == sum(parts)
    assert min(parts) > 0


def test_it_grows_with_the_batch(tiny) -> None:
    small, large = (plan(tiny("model=dcgan", f"batch_size={size}", "steps=9")).memory for size in (8, 32))
    assert 3.5 * small.activations < large.activations < 4.5 * small.activations


def test_a_checkpoint_is_written_from_a_copy_beside_the_next_steps(tiny) -> None:
    often = plan(tiny("model=dcgan", "steps=10", "checkpoint.every=5")).memory
    once = plan(tiny("model=dcgan", "steps=10", "checkpoint.every=10")).memory
    best = plan(tiny("model=dcgan", "steps=10", "checkpoint.every=10", "hooks=scores")).memory
    config = tiny("model=dcgan", "steps=10")
    config["hooks"]["checkpoints"] = None
    assert often.copy == once.copy > 0
    assert [found.copy_at_the_end for found in (often, best, once)] == [False, False, True]
    assert once.total - once.process - once.held - once.data == max(once.turns, once.copy)
    assert plan(config).memory.copy == 0


def test_the_checkpoint_that_a_run_goes_on_from_does_not_count_twice(tiny) -> None:
    config = tiny("model=mlp", "steps=10")
    fresh = plan(config).memory.process
    state = {"system": {"weight": torch.ones(16 * MIB)}}  # 64 MiB
    assert plan(config, state=state).memory.process == pytest.approx(fresh, abs=32 * MIB)


def test_a_checkpoint_is_let_go_when_its_run_has_taken_it(tiny, tmp_path: Path) -> None:
    config = tiny("model=mlp", "steps=1")
    trainer = runs.train(config, tmp_path)
    state = {"config": config, **trainer.state_dict()}
    runs.train({**config, "steps": 2}, tmp_path, state=state)
    assert state == {}


def test_large_grids_count(tiny) -> None:
    words = ["model=mlp", "steps=10"]
    few, many = (plan(tiny(*words, f"grids.count={count}")).memory for count in (4, 4096))
    assert many.total - few.total > 4096 * 256 * 4


def test_pictures_in_a_mapped_file_count_as_far_as_they_are_looked_at(tmp_path: Path) -> None:
    shape = (1000, 3, 64, 64)
    np.lib.format.open_memmap(tmp_path / "a.npy", mode="w+", dtype=np.uint8, shape=shape).flush()
    data = Dataset(torch.from_numpy(np.load(tmp_path / "a.npy", mmap_mode="c")))
    assert memory.data_in_memory(data, images=None) == (data.nbytes, True)
    assert memory.data_in_memory(data, images=10) == (10 * (3 * 64 * 64 + memory.AROUND), True)
    assert memory.data_in_memory(Dataset(torch.zeros(shape, dtype=torch.uint8)), images=10) == (data.nbytes, False)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc gives back what was freed when asked")
def test_what_a_rehearsal_has_freed_does_not_count() -> None:
    taken = [torch.ones(25_000) for _ in range(1000)]  # 100 KB each: too small to be given back one by one
    last = taken.pop()
    del taken
    before = memory.resident_bytes()
    memory.release_freed_memory()
    assert before - memory.resident_bytes() > 50 * MIB
    del last


# -- the warning ----------------------------------------------------------------------------------------------------


def test_less_memory_than_that_is_warned_of_with_a_way_out(tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda: MIB)
    monkeypatch.setattr(memory, "bf16_units", lambda device: None)
    notes = [line for line in plan(tiny("model=dcgan", "steps=9", "batch_size=64")).lines() if line.startswith("note")]
    assert len(notes) == 1
    assert "1.0 MiB free" in notes[0]
    for way in ("batch_size=32", "accumulate=2", "precision=bf16", "model.generator.base_channels=2"):
        assert way in notes[0]


@pytest.mark.parametrize("free", [None, 2**40])
def test_enough_memory_or_an_unknown_amount_is_not_warned_of(
    free: int | None, tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda: free)
    assert not [line for line in plan(tiny("model=dcgan", "steps=9")).lines() if line.startswith("note")]


def test_on_a_gpu_its_own_memory_is_asked_for(tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tiny("model=dcgan", "steps=9")
    found, device = plan(config).memory, torch.device("cuda")
    monkeypatch.setattr(memory, "free_memory", lambda: 0)
    monkeypatch.setattr(memory, "free_on", lambda device: found.on_device)
    assert found.warning(device, config) == []
    monkeypatch.setattr(memory, "free_on", lambda device: found.on_device - 1)
    assert "cuda" in found.warning(device, config)[0]
    assert "on cuda" in found.line(device)


def test_the_ways_out_begin_with_what_takes_most(tiny) -> None:
    config = tiny("model=dcgan", "batch_size=64", "accumulate=2")
    assert memory.overrides_for_less_memory(config, larger=True)[:2] == ["batch_size=32", "accumulate=4"]
    assert memory.overrides_for_less_memory(config, larger=False)[0] == "model.generator.base_channels=2"
    assert list(memory.smaller_batch({"batch_size": 6, "accumulate": 3})) == ["batch_size=3", "accumulate=6"]
    assert list(memory.smaller_batch({"batch_size": 1})) == []


def test_a_warning_without_a_way_out_does_not_end_in_try(tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    found = plan(tiny("model=mlp", "steps=9")).memory
    monkeypatch.setattr(memory, "free_memory", lambda: 0)
    config = {"batch_size": 1, "accumulate": 1, "precision": "bf16", "dataset": {}, "model": {}}
    assert found.warning(torch.device("cpu"), config)[0].endswith(
        "no setting of this run needs less memory; close other programs"
    )


@pytest.mark.parametrize("units", [True, False])
def test_bf16_is_advised_where_the_device_has_units_for_it(units: bool, tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tiny("model=dcgan", "steps=9")
    found = plan(config).memory
    monkeypatch.setattr(memory, "free_memory", lambda: 0)
    monkeypatch.setattr(memory, "bf16_units", lambda device: None if units else "this CPU has no units for bf16")
    assert ("precision=bf16" in found.warning(torch.device("cpu"), config)[0]) == units


def test_ranks_on_one_machine_share_its_memory(tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tiny("model=dcgan", "steps=9")
    found = plan(config).memory
    monkeypatch.setattr(memory, "free_memory", lambda: 2 * found.still_needed - 1)
    assert found.warning(torch.device("cpu"), config) == []
    for name, value in {"RANK": 0, "WORLD_SIZE": 4, "LOCAL_WORLD_SIZE": 2, "MASTER_ADDR": "localhost"}.items():
        monkeypatch.setenv(name, str(value))
    assert "are needed by 2 ranks" in found.warning(torch.device("cpu"), config)[0]


def test_networks_whose_checkpoint_would_not_open_are_refused(tiny, tmp_path: Path, monkeypatch) -> None:
    config = tiny("model=dcgan", "steps=1")
    runs.train(config, tmp_path)
    with zipfile.ZipFile(tmp_path / "checkpoints/last.pt") as archive:
        (size,) = (member.file_size for member in archive.infolist() if member.filename.endswith(".pkl"))
    told: list[int] = []
    monkeypatch.setattr(plans, "require_short_list", told.append)
    plan(config)
    without_config = size - len(str(config))
    assert without_config * 0.8 < told[0] < size * 1.6
    monkeypatch.undo()
    monkeypatch.setattr(plans, "MAX_PICKLE", told[0] - 1)
    with pytest.raises(UserError, match="fewer layers"):
        plan(config)


# -- control groups -------------------------------------------------------------------------------------------------


def group(folder: Path, limit: object, used: int, files: int, names: tuple[str, str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / names[0]).write_text(f"{limit}\n")
    (folder / names[1]).write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 5\n{names[2]} {files}\n")


@pytest.mark.parametrize(("line", "root", "names"), [("0::", "", cgroups.NEW), ("4:memory:", "memory", cgroups.OLD)])
def test_the_narrowest_group_counts_and_files_in_memory_are_free(
    line: str, root: str, names: tuple[str, str, str], tmp_path: Path
) -> None:
    (tmp_path / "cgroup").write_text(f"9:name=systemd:/\n{line}/jobs/mine\n")
    assert cgroups.bytes_left(tmp_path / "cgroup", tmp_path) is None
    group(tmp_path / root / "jobs", limit=900, used=500, files=100, names=names)
    assert cgroups.bytes_left(tmp_path / "cgroup", tmp_path) == 500
    group(tmp_path / root / "jobs" / "mine", limit=300, used=200, files=50, names=names)
    assert cgroups.bytes_left(tmp_path / "cgroup", tmp_path) == 150
    group(tmp_path / root / "jobs" / "mine", limit="max", used=200, files=50, names=names)
    assert cgroups.bytes_left(tmp_path / "cgroup", tmp_path) == 500
    assert cgroups.bytes_left(tmp_path / "absent", tmp_path) is None


def test_free_memory_is_what_the_group_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroups, "bytes_left", lambda: 7)
    assert memory.free_memory() == 7
