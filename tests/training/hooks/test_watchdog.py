"""The watchdog at work: a run is flagged, stopped, sent back; another resumed; what it measures, by hand."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
import torch

from ganrun.checkpoints import load as load_
from ganrun.checkpoints.checkpoint import load
from ganrun.training import runs
from ganrun.training.hooks.hook import Hook, Stage
from ganrun.training.hooks.watchdog import Samples, Watchdog
from ganrun.training.record import StepRecord
from ganrun.training.rendering import load_batch
from ganrun.training.trainer import Trainer
from ganrun.training.watch.measures import colour_shift, preference, sight, spread

QUICK = ("model=mlp", "log.every=5", "hooks.tensorboard=null", "hooks.grids=null", "hooks.console=null")


class Fault(Hook):
    """A player's rate becomes another, once."""

    player, factor, at = "generator", 0.0, 20

    def on_step(self, trainer: Trainer, record: StepRecord) -> None:
        if trainer.step == self.at:
            type(self).at = -1
            for group in trainer.optimizers[self.player].param_groups:
                group["lr"] *= self.factor


class Jump(Fault):
    player, factor, at = "discriminator", 1e4, 20


class Tint(Hook):
    """From step 20 on, each step adds a little to the colour of what the generator draws."""

    def on_step(self, trainer: Trainer, record: StepRecord) -> None:
        if trainer.step >= 20:
            *_, last = (part for part in trainer.system.ema_module().modules() if isinstance(part, torch.nn.Conv2d))
            with torch.no_grad():
                last.bias.add_(0.02)


class Scores(Hook):
    """A score that gets worse and worse."""

    stage = Stage.MEASURE

    def on_step(self, trainer: Trainer, record: StepRecord) -> None:
        if trainer.step % 4 == 0:
            record.scores["fid_x@10k"] = float(trainer.step)


def faulty(tiny, fault: type[Hook], *words: str) -> dict:
    """A config whose run meets the fault at step 20; faults are noticed within a few logs."""
    if issubclass(fault, Fault):
        fault.at = 20
    config = tiny(*QUICK, *words)
    config["hooks"]["watchdog"]["symptoms"]["stands_still"]["steps"] = 15
    before = {"fault": {"_target_": f"{__name__}.{fault.__name__}"}}
    return {**config, "hooks": {**before, **config["hooks"]}}


def rows(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def alarms(folder: Path) -> list[tuple[int, str]]:
    return [(row["step"], name) for row in rows(folder) for name in row if name.startswith("alarm/")]


def test_a_generator_whose_rate_becomes_zero_is_flagged_once_in_log_status_and_metrics(tiny, tmp_path, caplog) -> None:
    with caplog.at_level(logging.WARNING):
        trainer = runs.train(faulty(tiny, Fault, "steps=80"), tmp_path)
    (line,) = [record.getMessage() for record in caplog.records if "watchdog" in record.getMessage()]
    assert line.startswith("watchdog  step 35: generator does not learn: the norm of its weights has been")
    assert line.endswith("; try optimizer.players.generator.lr=0.0002")
    assert alarms(tmp_path) == [(35, "alarm/stands_still")]
    status = json.loads((tmp_path / "status.json").read_text())
    assert status == {"state": "finished", "step": 80, "reason": None, "alarms": [line]}
    assert trainer.control.exit_code == 0


def test_with_stop_the_run_ends_there_saved_and_with_exit_code_1(tiny, tmp_path) -> None:
    trainer = runs.train(faulty(tiny, Fault, "steps=80", "watchdog.action=stop"), tmp_path)
    assert (trainer.step, trainer.control.exit_code) == (35, 1)
    status = json.loads((tmp_path / "status.json").read_text())
    assert status["state"] == "stopped"
    assert "generator does not learn" in status["reason"]
    assert load(tmp_path / "checkpoints/last.pt")["progress"]["step"] == 35


def test_with_rollback_it_goes_on_from_before_what_was_seen_at_half_the_rates(tiny, tmp_path, caplog) -> None:
    words = ("steps=60", "checkpoint.every=11", "checkpoint.keep=9", "watchdog.action=rollback")
    with caplog.at_level(logging.WARNING):
        trainer = runs.train(faulty(tiny, Jump, *words), tmp_path)
    said = [record.getMessage() for record in caplog.records]
    assert any("discriminator's learning rate is far too high" in line for line in said)
    assert any("Back to step 11, with 0.5 times the learning rates (rollback 1 of 3)" in line for line in said)
    assert (trainer.step, trainer.rates.setbacks) == (60, 1)
    assert rows(tmp_path)[-1]["discriminator/lr"] == pytest.approx(1e-4)
    assert alarms(tmp_path) == []  # that future was given up
    assert len(json.loads((tmp_path / "status.json").read_text())["alarms"]) == 1


def test_a_run_that_cannot_go_back_ends_with_what_was_seen(tiny, tmp_path) -> None:
    with pytest.raises(FloatingPointError, match="watchdog  step 25: discriminator's learning rate is far too high"):
        runs.train(faulty(tiny, Jump, "steps=60", "watchdog.action=rollback"), tmp_path)


def test_a_resumed_run_writes_the_same_numbers_and_does_not_say_twice_what_lasts(tiny, tmp_path, caplog) -> None:
    config = faulty(tiny, Fault, "steps=80", "model=cgan")
    runs.train(config, tmp_path / "whole")
    Fault.at = 20
    runs.train({**config, "steps": 45}, tmp_path / "run")
    caplog.clear()
    state = load_.load_checkpoint(str(tmp_path / "run"), "resume")
    runs.train(config, tmp_path / "run", state=state)
    assert not [record for record in caplog.records if "does not learn" in record.getMessage()]
    assert (tmp_path / "run/metrics.jsonl").read_bytes() == (tmp_path / "whole/metrics.jsonl").read_bytes()
    assert json.loads((tmp_path / "run/status.json").read_text())["alarms"]


def test_no_finite_number_is_said_in_the_same_manner(tiny, tmp_path, caplog) -> None:
    config = tiny(*QUICK, "steps=50", "optimizer=sgd", "loss=wgan_gp")
    config["optimizer"]["lr"] = 1e38
    with pytest.raises(FloatingPointError), caplog.at_level(logging.WARNING):
        runs.train(config, tmp_path)
    (line,) = json.loads((tmp_path / "status.json").read_text())["alarms"]
    assert line.startswith("watchdog  step 5: a number is not finite: ")
    assert "try a lower optimizer.lr" in line


def test_scores_of_another_hook_are_written_down_and_watched(tiny, tmp_path) -> None:
    runs.train(faulty(tiny, Scores, "steps=20"), tmp_path)
    assert [row["score/fid_x@10k"] for row in rows(tmp_path) if "score/fid_x@10k" in row] == [4, 8, 12, 16, 20]
    assert [name for _, name in alarms(tmp_path)] == ["alarm/score_rebounds"]


def test_where_pictures_are_the_input_the_symptoms_of_noise_are_left_out(tiny, tmp_path) -> None:
    trainer = runs.assemble(tiny(*QUICK[1:], "model=restoration", "dataset=damaged", "steps=2"), tmp_path)
    (watchdog,) = [hook for hook in trainer.hooks if isinstance(hook, Watchdog)]
    watchdog.on_start(trainer)
    assert watchdog.samples is None
    assert "rate_too_high" in watchdog.symptoms
    assert not {"discriminator_wins", "mode_collapse"} & watchdog.symptoms.keys()


@pytest.mark.parametrize("planted", [True, False])
def test_colours_that_drift_are_named_and_a_healthy_run_is_not(planted: bool, tiny, tmp_path, caplog) -> None:
    words = ("model=real_sr", "steps=60", "average.half_life=0", "batch_size=4")
    config = tiny(*QUICK[1:], *words)
    config["hooks"]["watchdog"]["symptoms"]["colour_drifts"] |= {"steps": 20, "wait": 10}
    if planted:
        config["hooks"] = {"fault": {"_target_": f"{__name__}.Tint"}, **config["hooks"]}
    with caplog.at_level(logging.WARNING):
        runs.train(config, tmp_path)
    named = [line.getMessage() for line in caplog.records if "colours drift" in line.getMessage()]
    assert len(named) == planted
    assert all("; try model.adversarial_weight=0.01 or optimizer.players.generator.lr=5e-05" in line for line in named)
    assert {"colour/shift", "colour/source"} <= rows(tmp_path)[2].keys()


def test_a_colour_shift_is_a_share_of_the_range_and_needs_no_pairs() -> None:
    """Red differs by 1 of 2, green and blue not at all: √((0.5² + 0 + 0) / 3)."""
    red = torch.zeros(2, 3, 4, 4)
    red[:, 0] = 1
    assert colour_shift(red, torch.zeros(5, 3, 8, 8)) == pytest.approx((0.25 / 3) ** 0.5)
    assert colour_shift(red, red[:, :, :2, :2]) == 0


def test_looking_changes_no_weight_and_no_randomness_of_training(tiny, tmp_path) -> None:
    config = tiny(*QUICK, "steps=20")
    with_it = runs.train(config, tmp_path / "a")
    without = runs.train({**config, "hooks": {**config["hooks"], "watchdog": None}}, tmp_path / "b")
    for one, other in zip(with_it.system.parameters(), without.system.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_judge_that_was_told_the_label_prefers_the_right_one(tiny, tmp_path) -> None:
    trainer = runs.assemble(tiny("model=cgan", "batch_size=32", *QUICK[1:]), tmp_path)
    samples = Samples.of(trainer, 20)
    assert samples is not None
    batch = load_batch(trainer, 0)
    centres = torch.stack([batch["image"][batch["label"] == k].mean(0) for k in range(10)])

    def judge(images, labels):
        return -(images - centres[labels]).square().flatten(1).sum(1)

    trainer.system.discriminator.forward = judge
    assert samples.label_gap(trainer)["samples/label_gap"] > 1
    trainer.system.discriminator.forward = lambda images, labels: images.flatten(1).sum(1)
    assert samples.label_gap(trainer) == {}  # it is not told


# -- measures -----------------------------------------------------------------------------------------------------


def test_spread_is_the_mean_distance_of_two_pictures_and_of_two_of_one_class() -> None:
    images = torch.tensor([0.0, 3.0, 9.0]).view(3, 1, 1, 1)
    assert spread(images).item() == 6  # of 3, 9 and 6
    assert spread(images, torch.tensor([0, 0, 1])).item() == 3
    assert spread(images, torch.tensor([0, 1, 2])).isnan()


def test_labels_are_seen_where_the_nearest_picture_has_the_same() -> None:
    images = torch.tensor([0.0, 1.0, 10.0, 11.0]).view(4, 1, 1, 1)
    seen = sight(images, torch.tensor([0, 0, 1, 1]))
    assert (seen.share, seen.chance) == (1.0, pytest.approx(1 / 3))
    assert seen.errors == pytest.approx((1 - 1 / 3) / (2 / 9 / 4) ** 0.5)
    assert sight(images, torch.tensor([0, 1, 0, 1])).share == 0


def test_a_preference_is_counted_in_its_own_deviations() -> None:
    assert preference(torch.tensor([2.0, 4.0]), torch.tensor([1.0, 1.0])) == pytest.approx(2 / 2**0.5)
    assert preference(torch.ones(3), torch.ones(3)) == 0
