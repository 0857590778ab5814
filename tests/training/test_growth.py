"""A run whose networks grow: its checkpoints, its keys, its ranks, and what is refused."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

from ganrun.checkpoints import load
from ganrun.checkpoints.checkpoint import to_builtin
from ganrun.checkpoints.restore import load_system
from ganrun.common.errors import UserError
from ganrun.networks.growth import UNIT, Growth
from ganrun.networks.stylegan2 import grids_and_widths
from ganrun.systems.drawing import draw, render
from ganrun.training import runs
from ganrun.training.compile import FORMS
from ganrun.training.hooks.hook import Hook
from ganrun.training.planning.plan import plan
from ganrun.training.record import StepRecord
from ganrun.training.trainer import Trainer
from tests.same import differences
from tests.training.test_schedules import StopAt

GROWS = ["model=stylegan2", "model.growth=4", "model.growth_share=0.8", "hooks=quiet"]  # 16 pixels: four phases


@pytest.mark.parametrize("words", [[], ["model.size=paper", "augmentation=ada", "model.augmentation.p=0.5"]])
def test_it_resumes_bit_for_bit_across_a_change_of_level(words: list[str], tiny, tmp_path: Path) -> None:
    config = tiny(*GROWS, *words, "steps=10", "checkpoint.every=3")
    whole = runs.train(config, tmp_path / "whole")
    stopped = runs.assemble(config, tmp_path / "parts")
    stopped.hooks.insert(0, StopAt(3))
    stopped.fit()
    state = load.load_checkpoint(str(tmp_path / "parts"), "resume")
    assert state["system"]["generator.growth.level"] == 0  # step 2 of 10: the first of four phases within 8 steps
    resumed = runs.train(config, tmp_path / "parts", state=state)
    assert resumed.system.generator.growth.whole
    assert differences(to_builtin(whole.state_dict()), to_builtin(resumed.state_dict())) == []


def test_a_run_that_is_made_longer_never_goes_back_to_a_smaller_grid(tiny, tmp_path: Path) -> None:
    """And it is a function of its checkpoints: stopped once more, it ends with the same weights."""
    levels: dict[str, list[int]] = {}

    def go_on(name: str, steps: int, start: str = "", stop: int = 1000) -> Any:
        trainer = runs.assemble(tiny(*GROWS, f"steps={steps}", "checkpoint.every=4"), tmp_path / name)
        if start:
            trainer.load_state_dict(load.load_checkpoint(str(tmp_path / start), "resume"))
        seen = levels.setdefault(name, [])
        trainer.hooks = [StopAt(stop), Keeps(seen), *trainer.hooks]
        trainer.fit()
        return trainer

    go_on("short", 10, stop=4)  # step 3 of 10: the first fade
    straight = go_on("longer", 24, "short")
    go_on("parts", 24, "short", stop=8)
    parts = go_on("parts", 24, "parts")
    assert levels["short"][-1] == levels["longer"][0] == UNIT // 2
    assert levels["longer"] == sorted(levels["longer"]) == levels["parts"]
    assert differences(to_builtin(straight.state_dict()), to_builtin(parts.state_dict())) == []
    go_on("after", 60, "longer", stop=28)
    assert set(levels["after"]) == {2 * UNIT}, "a finished run"


class Keeps(Hook):
    """Notes the level of each step."""

    def __init__(self, levels: list[int]) -> None:
        self.levels = levels

    def on_step(self, trainer: Trainer, record: StepRecord) -> None:
        self.levels.append(int(trainer.system.generator.growth.level))


def test_a_checkpoint_draws_the_pictures_of_its_own_level(tiny, tmp_path: Path) -> None:
    config = tiny(*GROWS, "steps=10", "checkpoint.every=5")
    stopped = runs.assemble(config, tmp_path)
    stopped.hooks.insert(0, StopAt(5))
    stopped.fit()
    for weights in ("ema", "raw"):
        system = load_system(load.load_checkpoint(str(tmp_path), "ckpt"), weights)
        assert system.generator.growth.graph_key == (1, False)
        (pictures,) = render(system, draw(system, 4, 0), 4)
        assert torch.equal(pictures, pictures[:, :, ::2, ::2].repeat_interleave(2, 2).repeat_interleave(2, 3))


def test_each_level_has_graphs_of_its_own(tiny, tmp_path: Path) -> None:
    trainer = runs.assemble(tiny(*GROWS, "steps=40"), tmp_path)
    keys: Counter[object] = Counter()
    for trainer.step in range(40):
        trainer.follow_schedules()
        keys[trainer.system.graph_key(1)] += 1  # a step without R1
    assert sorted(keys.values()) == [7, 7, 8, 9, 9], "two waits, two fades whose first step has α = 0, and the rest"


def test_it_ends_with_the_pictures_of_a_network_that_never_grew(tiny, tmp_path: Path) -> None:
    config = tiny(*GROWS, "steps=6")
    grown = runs.train(config, tmp_path / "grown").system.eval()
    never = runs.assemble(tiny("model=stylegan2", "hooks=quiet", "steps=6"), tmp_path / "never").system.eval()
    state = {name: part for name, part in grown.state_dict().items() if "growth" not in name and "from_rgb" not in name}
    never.load_state_dict(state)
    inputs = draw(never, 4, 0)
    assert all(map(torch.equal, render(grown, inputs, 4), render(never, inputs, 4)))


def test_its_first_weights_are_those_of_a_run_without_growth(tiny, tmp_path: Path) -> None:
    grows = runs.assemble(tiny(*GROWS, "steps=6"), tmp_path / "grows").system.state_dict()
    never = runs.assemble(tiny("model=stylegan2", "hooks=quiet", "steps=6"), tmp_path / "never").system.state_dict()
    assert all(torch.equal(grows[name], tensor) for name, tensor in never.items())


def test_a_level_is_a_function_of_the_step_so_minutes_are_refused(tiny) -> None:
    with pytest.raises(UserError, match=r"the schedule of model\.growth needs: give steps, epochs or kimg"):
        plan(tiny(*GROWS, "minutes=1"))
    with pytest.raises(UserError, match=r"model\.generator.*growth=5: pictures of 16 pixels can start at 4 or 8"):
        plan(tiny("model=stylegan2", "model.growth=5", "steps=2"))


def test_a_compiled_network_may_have_the_forms_of_all_levels_in_training_and_for_grids() -> None:
    growth, keys = Growth(grids_and_widths(512, 8, 8)[0], 4, 0.5), set()
    for part in range(1000):
        growth.at_progress(part / 1000)
        keys.add(growth.graph_key)
    assert 2 * len(keys) == 30 <= FORMS
