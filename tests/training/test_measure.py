"""speed: what a run leaves open is measured once, said, written down, and kept by whoever resumes it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml

from ganrun.checkpoints import checkpoint
from ganrun.cli import overrides
from ganrun.cli.main import main
from ganrun.common import precision
from ganrun.common.command_line import begin_line
from ganrun.common.errors import UserError
from ganrun.config.builders import build_system, load_dataset
from ganrun.training.planning import measure
from ganrun.training.planning.measure import Passes, choose
from ganrun.training.planning.passes import rounds_of

FASTEST, WHOLE_STEP = Passes.fastest, Passes.whole_step  # before a fixture stops the clock
MLP = ["model=mlp", "model.generator.widths=[8]", "model.discriminator.widths=[8]", "dataset.limit=64", "batch_size=8"]
OPEN = [*MLP, "hooks=quiet", "log.every=2", "device=cpu"]

Clock = Callable[[bool, int], float]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[[Clock], None]:
    """machine(lambda bf16, threads: seconds): passes take so long, on a CPU with four cores and units for bf16."""

    def have(clock: Clock) -> None:
        monkeypatch.setattr(Passes, "fastest", FASTEST)
        monkeypatch.setattr(Passes, "whole_step", WHOLE_STEP)
        monkeypatch.setattr(Passes, "seconds", lambda passes, step=0: clock(passes.bf16, torch.get_num_threads()))
        monkeypatch.setattr(measure, "ALL_THREADS", 4)
        monkeypatch.setattr(measure, "bf16_units", lambda device: None)
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        monkeypatch.setattr(measure, "KNOWN", {})

    return have


@pytest.mark.parametrize(("bf16", "chosen"), [(0.5, "bf16"), (0.9, "fp32"), (1.0, "fp32"), (21.0, "fp32")])
def test_bf16_is_chosen_where_it_is_clearly_faster(bf16: float, chosen: str, machine, tiny) -> None:
    machine(lambda low, threads: 0.01 * bf16 if low else 0.01)
    choice = choose({**tiny(*MLP, "steps=1"), "precision": "auto"})
    assert choice.settings == {"precision": chosen}
    assert f"{bf16:.2g} of float32's time" in choice.reasons["precision"]


def test_a_cpu_without_units_for_bf16_is_not_asked_to_play_in_it(machine, tiny, monkeypatch) -> None:
    machine(lambda low, threads: pytest.fail("played in bf16") if low else 0.01)
    monkeypatch.setattr(measure, "bf16_units", precision.bf16_units)
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False)
    choice = choose({**tiny(*MLP, "steps=1"), "precision": "auto"})
    assert (choice.settings, choice.reasons) == ({"precision": "fp32"}, {"precision": "this CPU has no units for bf16"})


def test_bf16_that_was_asked_for_is_kept_and_the_factor_is_said(machine, tiny) -> None:
    machine(lambda low, threads: 0.2 if low else 0.01)
    choice = choose({**tiny(*MLP, "steps=1"), "precision": "bf16"})
    assert choice.settings == {}
    assert choice.lines() == [
        "note        bf16 takes 20 times as long as float32 on this machine: precision=auto would choose fp32"
    ]


@pytest.mark.parametrize(
    ("seconds", "chosen"),
    [({1: 1, 2: 0.9, 4: 0.1}, 1), ({1: 1, 2: 0.6, 4: 0.55}, 2), ({1: 1, 2: 0.6, 4: 0.3}, 4), ({1: 1, 2: 25, 4: 25}, 1)],
)
def test_threads_are_doubled_as_long_as_that_pays(seconds: dict[int, float], chosen: int, machine, tiny) -> None:
    machine(lambda low, threads: 0.01 * seconds[threads])
    before = torch.get_num_threads()
    assert choose({**tiny(*MLP, "steps=1"), "threads": None}).settings == {"threads": chosen}
    assert torch.get_num_threads() == before, "choosing changes nothing"


def test_a_users_own_number_of_threads_is_an_answer(machine, tiny, monkeypatch) -> None:
    machine(lambda low, threads: pytest.fail("measured"))
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    assert choose({**tiny(*MLP, "steps=1"), "threads": None}).settings == {"threads": 4}


def test_a_run_without_a_length_takes_the_time_that_its_data_suggest(machine, tiny) -> None:
    machine(lambda low, threads: 0.1)
    config = tiny(*MLP)
    seconds = 60 * config["dataset"]["minutes"]
    assert choose(config).settings == {"steps": int(seconds / (0.1 * measure.WHOLE_STEP))}
    machine(lambda low, threads: 1e-6)
    assert choose(config).settings == {"steps": 1000 * config["dataset"]["kimg"] // 8}, "at most the data set's kimg"
    assert choose(tiny(*MLP, "kimg=1")).settings == {}


def test_nothing_is_measured_where_nothing_is_open(machine, tiny) -> None:
    machine(lambda low, threads: pytest.fail("measured"))
    assert choose(tiny(*MLP, "steps=1")).settings == {}


def test_the_jobs_of_a_sweep_over_seeds_get_one_answer(machine, tiny) -> None:
    machine(lambda low, threads: 0.01 if low else 0.02)
    first = choose({**tiny(*MLP, "steps=1"), "precision": "auto"})
    again = {**tiny(*MLP, "steps=1", "seed=7", "optimizer.lr=1"), "precision": "auto"}
    assert choose(again) is first
    assert choose({**again, "batch_size": 16}) is not first


def test_measuring_plays_real_turns_and_leaves_no_trace(tiny, monkeypatch) -> None:
    monkeypatch.setattr(Passes, "fastest", FASTEST)
    monkeypatch.setattr(measure, "bf16_units", lambda device: None)
    flags = torch.backends.mkldnn.matmul.fp32_precision
    random = torch.get_rng_state()
    choice = choose({**tiny("model=dcgan", "loss=wgan_gp", "steps=1"), "precision": "auto"})
    assert choice.settings["precision"] in ("fp32", "bf16")
    assert torch.equal(torch.get_rng_state(), random)
    assert torch.backends.mkldnn.matmul.fp32_precision == flags


def test_the_choice_is_said_written_down_and_kept_by_who_resumes(machine, tmp_path: Path, monkeypatch, capfd) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ganrun"])
    machine(lambda low, threads: (0.01 if low else 0.02) / (1.5 if threads > 1 else 1))
    assert main(["train", *OPEN, "steps=2", "out=run"]) == 0
    assert "repeat      precision=bf16 threads=2" in capfd.readouterr().out
    written = yaml.safe_load((tmp_path / "run/.hydra/config.yaml").read_text())
    stored = checkpoint.load(tmp_path / "run/checkpoints/last.pt")["config"]
    assert [(one["precision"], one["threads"]) for one in (written, stored)] == [("bf16", 2)] * 2

    machine(lambda low, threads: pytest.fail("measured again"))
    assert main(["train", "resume=run", "steps=3"]) == 0
    assert main(["train", *OPEN, "steps=4", "resume=auto", "out=run"]) == 0
    after = checkpoint.load(tmp_path / "run/checkpoints/last.pt")
    assert (after["config"]["precision"], after["config"]["threads"], after["progress"]["step"]) == ("bf16", 2, 4)


def test_the_printed_overrides_repeat_the_run(machine, tmp_path: Path, monkeypatch, capfd) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ganrun"])
    machine(lambda low, threads: 0.01 if low else 0.02)
    assert main(["train", *OPEN, "steps=3", "out=one"]) == 0
    (line,) = [line for line in capfd.readouterr().out.splitlines() if line.startswith("repeat")]
    machine(lambda low, threads: 0.02 if low else 0.01)
    assert main(["train", *OPEN, "steps=3", "out=two", *line.split()[1:]]) == 0
    one, two = (Path(run, "checkpoints/last.pt").read_bytes() for run in ("one", "two"))
    assert one == two


def stop() -> None:
    raise UserError("that is enough")


def test_train_alone_is_the_demo_and_says_so(tmp_path: Path, monkeypatch, capfd) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ganrun"])
    seen = []
    monkeypatch.setattr(overrides, "read_command_line", lambda page, words: seen.append((page, words)) or stop())
    assert main(["train"]) == 2
    assert seen == [("train", ["experiment=digits"])]
    assert "ganrun train experiment=digits" in capfd.readouterr().err


@pytest.mark.parametrize(("words", "images"), [([], 8), (["accumulate=4"], 2)])
def test_what_is_measured_is_what_is_played_at_once(words: list[str], images: int, machine, tiny, monkeypatch) -> None:
    sizes = []

    def take(passes: Passes, count: int) -> None:
        sizes.append(count)
        passes.batch, passes.images = {"image": torch.empty(0)}, count

    machine(lambda low, threads: 1e-4)
    monkeypatch.setattr(Passes, "take", take)
    choose({**tiny(*MLP, "steps=1", *words), "precision": "auto"})
    assert max(sizes) == images


# -- the measurement ------------------------------------------------------------------------------------------------


def test_a_first_pass_that_makes_kernels_is_not_held_against_bf16(machine, tiny) -> None:
    low_passes: list[float] = []

    def clock(low: bool, threads: int) -> float:
        if low:
            low_passes.append(0.2 if not low_passes else 0.005)
        return low_passes[-1] if low else 0.01

    machine(clock)
    assert choose({**tiny(*MLP, "steps=1"), "precision": "auto"}).settings == {"precision": "bf16"}


def test_a_number_of_threads_that_is_hopeless_is_played_once(machine, tiny) -> None:
    slow: list[int] = []
    machine(lambda low, threads: slow.append(threads) or 30.0 if threads > 1 else 0.5)
    assert choose({**tiny(*MLP, "steps=1"), "threads": None}).settings == {"threads": 1}
    assert slow == [2]


def test_the_precisions_are_compared_with_the_threads_that_the_run_uses(machine, tiny) -> None:
    machine(lambda low, threads: 0.01 if low else {1: 0.04, 2: 0.02, 4: 0.01}[threads])
    choice = choose({**tiny(*MLP, "steps=1"), "precision": "auto", "threads": None})
    assert choice.settings == {"precision": "fp32", "threads": 4}, "one thread would have chosen bf16"
    assert choice.lines()[1] == "repeat      precision=fp32 threads=4"


def passes_of(config: dict, monkeypatch: pytest.MonkeyPatch, clock: Callable[[int], float]) -> Passes:
    monkeypatch.setattr(Passes, "whole_step", WHOLE_STEP)
    monkeypatch.setattr(Passes, "seconds", lambda passes, step: clock(step))
    return Passes(build_system(config), load_dataset(config), config["batch_size"])


def test_the_time_of_a_step_is_the_mean_over_a_cycle_of_lazy_penalties(tiny, monkeypatch) -> None:
    config = tiny(*MLP, "loss=r1", "loss.penalties.r1.every=16")
    passes = passes_of(config, monkeypatch, lambda step: 1.7 if step % 16 == 0 else 0.1)
    assert passes.whole_step() == pytest.approx(0.1 + 1.6 / 16)


def test_one_pass_that_a_neighbour_disturbs_does_not_change_the_time_of_a_step(tiny, monkeypatch) -> None:
    times = iter([5.0, 0.1, 9.0, 0.1])
    assert passes_of(tiny(*MLP), monkeypatch, lambda step: next(times)).whole_step() == pytest.approx(0.1)


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA"), RuntimeError("can't allocate memory"), MemoryError()]
)
def test_too_little_memory_to_measure_is_said_and_the_run_goes_on_in_float32(error: Exception, machine, tiny) -> None:
    def clock(low: bool, threads: int) -> float:
        raise error

    machine(clock)
    choice = choose({**tiny(*MLP), "precision": "auto", "threads": None})
    assert choice.settings == {"precision": "fp32", "threads": 1}
    assert "not measured: out of memory" in choice.lines()[0]
    assert "not enough memory" in choice.lines()[-1]


def test_another_error_while_measuring_is_not_hidden(machine, tiny) -> None:
    def clock(low: bool, threads: int) -> float:
        raise RuntimeError("shapes cannot be multiplied")

    machine(clock)
    with pytest.raises(RuntimeError, match="shapes"):
        choose({**tiny(*MLP, "steps=1"), "precision": "auto"})


def test_jobs_that_get_unlike_values_are_told(machine, tiny, monkeypatch) -> None:
    machine(lambda low, threads: 0.01)
    times = iter([{"fp32": 2.0, "bf16": 1.0}, {"fp32": 1.0, "bf16": 1.0}])
    monkeypatch.setattr(Passes, "fastest", lambda passes, candidates, apply: next(times))
    config = {**tiny(*MLP, "steps=1"), "precision": "auto"}
    first, second = choose(config), choose({**config, "batch_size": 16})
    assert "jobs" not in first.reasons
    assert second.lines()[-1] == (
        "note        an earlier job has precision=bf16, this job has precision=fp32: to compare jobs, give one value "
        "for all of them"
    )


def test_runs_of_other_command_lines_are_no_jobs_of_this_sweep(machine, tiny, monkeypatch) -> None:
    machine(lambda low, threads: 0.01)
    times = iter([{"fp32": 2.0, "bf16": 1.0}, {"fp32": 1.0, "bf16": 1.0}])
    monkeypatch.setattr(Passes, "fastest", lambda passes, candidates, apply: next(times))
    config = {**tiny(*MLP, "steps=1"), "precision": "auto"}
    choose(config)
    begin_line()
    assert "jobs" not in choose({**config, "batch_size": 16}).reasons
    assert "jobs" in choose(config).reasons
    begin_line()
    assert "jobs" not in choose(config).reasons, "a note is of one sweep, and not kept with what was measured"


def test_a_pass_of_many_seconds_is_played_once_for_each_candidate():
    assert [rounds_of(seconds) for seconds in (0.001, 0.03, 0.5, 2.0, 30.0)] == [8, 5, 2, 2, 0]
