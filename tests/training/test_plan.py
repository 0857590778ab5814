"""plan: its figures are those of the run that follows."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from ganrun.cli.main import main
from ganrun.common.errors import UserError
from ganrun.data.dataset import Dataset
from ganrun.training import runs
from ganrun.training.planning import estimates, trial_steps
from ganrun.training.planning.estimates import SavedTensors
from ganrun.training.planning.memory import mebi
from ganrun.training.planning.plan import plan


@pytest.mark.parametrize("optimizer", ["adam", "rmsprop", "sgd", "adamw"])
def test_weights_gradients_optimizers_and_average_are_told_to_the_byte(optimizer: str, tiny, tmp_path: Path) -> None:
    config = tiny("model=dcgan", f"optimizer={optimizer}", "hooks=quiet", "steps=2")
    trainer = runs.train(config, tmp_path)
    tensors = [*trainer.system.state_dict().values(), *trainer.average.copy.values()]
    for one in trainer.optimizers.values():
        tensors += [weight.grad for group in one.param_groups for weight in group["params"]]
        tensors += [kept for state in one.state.values() for kept in state.values() if kept is not None]
    assert plan(config).memory.held == sum(tensor.nbytes for tensor in tensors)


@pytest.mark.parametrize(
    "words", [["model=dcgan"], ["model=mlp"], ["model=dcgan", "loss=wgan_gp"], ["model=dcgan", "precision=bf16"]]
)
def test_activations_are_told_within_one_and_a_half(words: list[str], tiny, tmp_path: Path) -> None:
    """Measured: the most that torch's allocator gives to the turns of a step while gradients have their place."""
    config = tiny(*words, "batch_size=64", "hooks=quiet", "steps=1")
    trainer = runs.train(config, tmp_path)
    batch = trainer.prepare_batch(trainer.stream[0])
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        for turn in trainer.system.turns(4):
            with trainer.autocast():
                objective = turn.objective(batch)
            torch.autograd.grad(objective.total, next(iter(trainer.system.players()[turn.player].parameters())))
            del objective
    now = most = 0
    for event in sorted(profiler.profiler.kineto_results.events(), key=lambda event: event.start_ns()):
        if event.name() == "[memory]":
            now += event.nbytes()
            most = max(most, now)
    assert most / 1.5 < plan(config).memory.activations < most * 1.5


def test_the_disk_that_is_told_is_about_what_a_run_leaves(tiny, tmp_path: Path) -> None:
    """Networks large enough that checkpoints and grids outweigh the small files."""
    config = tiny("model=mlp", "steps=60", "checkpoint.every=20", "grids.every=30", "grids.count=16")
    config["model"]["generator"]["widths"] = [256]
    runs.train(config, tmp_path)
    files = {path.stat().st_ino: path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()}
    assert sum(files.values()) / 2 < plan(config).disk < sum(files.values()) * 2


def test_what_is_saved_twice_counts_once_weights_do_not_and_a_graph_that_is_gone_neither() -> None:
    """exp keeps its result, 40 bytes; square keeps the same tensor again; the product keeps both factors."""
    weight = torch.ones(10, requires_grad=True)
    saves = SavedTensors([weight])
    with saves.counted():
        result = weight.exp()
        squared = result.square()
        assert saves.now == 40
        product = squared * weight
    assert (saves.now, saves.most) == (80, 80)
    del product, squared, result
    assert (saves.now, saves.most) == (0, 80)


def test_some_memory_grows_with_the_batch_and_some_does_not() -> None:
    assert estimates.extrapolate(two=120, four=140, batch_size=64) == 100 + 64 * 10


def test_one_of_a_thing_is_singular(tiny) -> None:
    said = "\n".join(plan(tiny("model=mlp", "steps=1", "hooks=quiet", "threads=1")).lines())
    assert "1 step = " in said
    assert "1 channel" in said
    assert not re.findall(r"\b1 (?:steps|images|channels|classes|threads)\b", said)


def test_sizes_are_told_in_units_that_people_read() -> None:
    assert [mebi(n * 2**20) for n in (1.5, 150, 20480)] == ["1.5 MiB", "150 MiB", "20.0 GiB"]


def test_trial_steps_are_played_once_for_a_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is planned twice: what is measured, and all of its data, are known only once it may start."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ganrun"])
    seen: list[str] = []
    play = trial_steps.bytes_of_real_turns
    monkeypatch.setattr(
        trial_steps,
        "bytes_of_real_turns",
        lambda config, *rest: seen.append(config["precision"]) or play(config, *rest),
    )
    quick = ["model=mlp", "steps=1", "dataset.limit=64", "batch_size=8", "hooks=quiet", "device=cpu"]
    for words, precision in (
        ([*quick, "out=run"], "auto"),
        (["resume=run", "steps=2"], "fp32"),
        ([*quick, "out=low", "precision=bf16"], "bf16"),
    ):
        seen.clear()
        assert main(["train", *words]) == 0
        assert seen == [precision]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("model=sngan", "model.classes=3"), r"labels of the data go from 0 to 9: use model\.classes=10"),
        (("model=sngan", "model.classes=3", "dataset=unlabelled"), r"no labels: use model\.classes=0"),
    ],
)
def test_a_model_with_other_classes_than_the_data_is_refused(words: tuple[str, ...], reason: str, tiny) -> None:
    config = tiny(*(word for word in words if word != "dataset=unlabelled"))
    if "dataset=unlabelled" in words:
        config["dataset"] = {"_target_": "tests.training.test_plan.Unlabelled"}
    with pytest.raises(UserError, match=reason):
        plan(config)


class Unlabelled(Dataset):
    def __init__(self) -> None:
        super().__init__(torch.zeros(64, 1, 16, 16, dtype=torch.uint8))
