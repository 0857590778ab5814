"""Symptoms: each is shown a story in numbers, and one that only looks like it."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from ganrun.systems.roles import Role
from ganrun.training.watch.advice import tamer_game, with_rate
from ganrun.training.watch.colours import ColourDrifts
from ganrun.training.watch.game import DiscriminatorWins, Oscillation
from ganrun.training.watch.gradients import GradientExplodes, GradientVanishes
from ganrun.training.watch.samples import LabelsTellNothing, ModeCollapse
from ganrun.training.watch.scored import ClassGone, ScoreRebounds
from ganrun.training.watch.symptom import Finding, Symptom
from ganrun.training.watch.weights import RateTooHigh, StandsStill

CONFIG = {"optimizer": {"lr": 2e-4, "players": {"discriminator": {"lr": 4e-4}}}, "loss": {}, "model": {}}

ROLES = {
    "discriminator": Role.DISCRIMINATOR,
    "discriminators": Role.DISCRIMINATOR,
    "generator": Role.GENERATOR,
    "judge": Role.DISCRIMINATOR,
    "encoder": Role.OTHER,
}


def shown(symptom: Symptom, rows: Iterable[dict[str, float]], every: int = 50) -> tuple[int, Finding] | None:
    """The step of the first finding, and what it says; a row each `every` steps."""
    symptom.begin(ROLES)
    for number, row in enumerate(rows, 1):
        if (finding := symptom.look({"step": every * number, **row}, CONFIG)) is not None:
            return every * number, finding
    return None


def found(symptom: Symptom, rows: Iterable[dict[str, float]], every: int = 50) -> tuple[int, Finding]:
    finding = shown(symptom, rows, every)
    assert finding is not None
    return finding


def series(name: str, *values: float) -> list[dict[str, float]]:
    return [{name: value} for value in values]


def game(accuracy: float, loss: float, **also: float) -> dict[str, float]:
    return {"discriminator/accuracy": accuracy, "discriminator/adversarial": loss, **also}


# -- the game -----------------------------------------------------------------------------------------------------


def test_a_discriminator_that_has_won_is_told_after_400_steps_with_its_numbers_and_a_lower_rate() -> None:
    step, finding = found(DiscriminatorWins(), [game(0.8, 0.9)] * 30 + [game(1.0, 0.003)] * 20)
    assert (step, finding.since) == (1900, 1500)
    assert finding.saw == "discriminator wins: accuracy 1.000 and loss 0.003 over the last 400 steps"
    assert finding.advice == "optimizer.players.discriminator.lr=0.0001 or loss=r3gan"


def test_a_lead_that_is_given_up_again_is_no_victory() -> None:
    lead = [game(1.0, 0.01)] * 6 + [game(0.95, 0.2)]
    assert shown(DiscriminatorWins(), lead * 10) is None


def test_healthy_games_begin_with_a_discriminator_that_knows_all() -> None:
    assert shown(DiscriminatorWins(), [game(1.0, 0.01)] * 15 + [game(0.8, 0.9)] * 30) is None


def test_a_wasserstein_loss_is_never_won_however_often_it_is_right() -> None:
    assert shown(DiscriminatorWins(), [game(1.0, -8.0)] * 60) is None


def test_only_a_discriminator_can_win() -> None:
    rows = [{"encoder/accuracy": 1.0, "encoder/adversarial": 0.0}] * 60
    assert shown(DiscriminatorWins(), rows) is None


def test_one_of_several_discriminators_may_still_have_something_to_learn() -> None:
    names = ("discriminators/adversarial_first", "discriminators/adversarial_second")
    rows = [{"discriminators/accuracy": 0.995, names[0]: 0.001, names[1]: 0.3}] * 60
    assert shown(DiscriminatorWins(), rows) is None


def test_losses_that_swing_from_side_to_side_are_told_and_one_jump_is_not() -> None:
    swinging = [game(0.7, loss) for loss in (0.1, 2.0) * 15]
    step, finding = found(Oscillation(), swinging)
    assert step == 1000
    assert (
        "discriminator/adversarial is on average 90% away from its mean of 1.05 and crossed it 19 times" in finding.saw
    )
    assert "optimizer.players.discriminator.lr=0.0002; average.half_life=50" in finding.advice
    assert shown(Oscillation(), [game(0.7, loss) for loss in [0.1] * 15 + [3.0] * 15]) is None


def test_noise_and_losses_around_zero_are_no_swings() -> None:
    assert shown(Oscillation(), [game(0.7, loss) for loss in (0.9, 1.1) * 15]) is None
    assert shown(Oscillation(), [game(0.7, loss) for loss in (-0.5, 1.5) * 15]) is None


# -- gradients and weights ----------------------------------------------------------------------------------------


def test_a_gradient_a_thousandth_of_what_it_was_has_vanished() -> None:
    norms = series("generator/gradient_norm", *[0.5, 0.3, 0.8] * 4, *[2e-4] * 5)
    rows = [{**row, "discriminator/gradient_norm": 1.0} for row in norms]
    step, finding = found(GradientVanishes(), rows)
    assert (step, finding.since) == (750, 600)
    assert "generator's gradient vanishes: its norm is 0.0002, before it was 0." in finding.saw
    assert "optimizer.players.discriminator.lr=0.0001" in finding.advice  # it is the judge that is too sure


def test_a_discriminator_without_a_gradient_is_content_not_starved() -> None:
    assert shown(GradientVanishes(), series("discriminator/gradient_norm", *[0.5] * 12, *[0.0] * 12)) is None


def test_a_gradient_that_is_small_from_the_start_is_how_this_game_is() -> None:
    assert shown(GradientVanishes(), series("generator/gradient_norm", *[1e-6] * 40)) is None


def test_a_gradient_hundreds_of_times_itself_and_above_its_weights_explodes_but_a_single_one_is_a_spike() -> None:
    def rows(*norms: float) -> list[dict[str, float]]:
        return [{"discriminator/gradient_norm": norm, "discriminator/weight_norm": 20.0} for norm in norms]

    step, finding = found(GradientExplodes(), rows(*[0.5] * 10, 300.0, 400.0))
    assert step == 600
    assert "discriminator's gradient explodes: its norm is 4e+02, before it was 0.5" in finding.saw
    assert shown(GradientExplodes(), rows(*[0.5] * 10, 300.0, 0.6, 300.0)) is None
    assert shown(GradientExplodes(), rows(*[1e-4] * 10, *[1.0] * 10)) is None  # it wakes up: below its weights
    assert shown(GradientExplodes(), rows(*[8.0, 3.0, 0.0] * 5, *[226.0, 290.0, 370.0])) is None  # a hinge, content


def test_weights_that_do_not_move_though_there_is_a_gradient_are_told_with_the_rate() -> None:
    rows = [{"generator/weight_norm": norm, "generator/gradient_norm": 0.3, "generator/lr": 0.0} for norm in (5,) * 5]
    step, finding = found(StandsStill(), rows)
    assert (step, finding.since) == (200, 50)
    assert "generator does not learn: the norm of its weights has been 5 for 150 steps" in finding.saw
    assert "its learning rate is 0" in finding.saw
    moving = [{**row, "generator/weight_norm": 5 + 1e-5 * number} for number, row in enumerate(rows * 4)]
    assert shown(StandsStill(), moving) is None


def test_a_player_that_had_no_turn_need_not_move() -> None:
    assert shown(StandsStill(), series("discriminator/weight_norm", *[5.0] * 20)) is None


def test_weights_that_double_between_two_logs_have_too_high_a_rate_and_the_advice_is_in_proportion() -> None:
    step, finding = found(RateTooHigh(), series("discriminator/weight_norm", 12, 12.5, 112.5))
    assert step == 150
    assert "discriminator's learning rate is far too high: the norm of its weights grew from 12.5 to 112" in finding.saw
    assert finding.advice == "optimizer.players.discriminator.lr=4e-06"  # it grew 320 times as fast as it should
    assert shown(RateTooHigh(), series("discriminator/weight_norm", 12, 13, 14, 15, 16)) is None


# -- samples and labels -------------------------------------------------------------------------------------------


def test_samples_that_fall_far_below_their_own_best_are_a_collapse() -> None:
    rows = series("samples/diversity", *[0.5] * 10, *[0.9, 0.95] * 2, *[0.1] * 5)
    step, finding = found(ModeCollapse(), rows, every=100)
    assert (step, finding.since) == (1600, 1400)
    assert "mean distance of samples is 0.10 times that of real pictures (at best 0.95), for 200 steps" in finding.saw
    assert shown(ModeCollapse(), series("samples/diversity", *[0.9] * 12, *[0.5] * 5), every=100) is None
    assert shown(ModeCollapse(), series("samples/diversity", *[0.9] * 12, *[0.1, 0.8] * 5), every=100) is None


def test_a_run_may_begin_with_samples_that_are_all_alike_but_not_stay_so() -> None:
    assert shown(ModeCollapse(), series("samples/diversity", *[1.0] * 8, *[0.1] * 30, *[0.6] * 50), every=100) is None
    step, _ = found(ModeCollapse(), series("samples/diversity", *[0.1] * 80), every=100)
    assert step == 5100


def test_one_picture_for_each_class_is_a_collapse_that_the_whole_set_does_not_show() -> None:
    rows = [{"samples/diversity": 0.95, "samples/diversity_in_class": 0.1}] * 60
    _, finding = found(ModeCollapse(), rows, every=100)
    assert "mean distance of samples of one class is 0.10 times" in finding.saw


def labelled(sight: float, gap: float) -> dict[str, float]:
    return {"samples/label_sight": sight, "samples/largest_class": 0.1, "samples/label_gap": gap}


def test_labels_that_neither_pixels_nor_the_game_know_tell_nothing() -> None:
    step, finding = found(LabelsTellNothing(), [labelled(0.3, 0.02)] * 6, every=100)
    assert step == 400
    assert "the discriminator prefers right labels by only 0.02 standard deviations" in finding.saw


@pytest.mark.parametrize("row", [labelled(40.0, 0.02), labelled(0.3, 0.4)], ids=["pixels", "game"])
def test_labels_that_either_of_them_knows_are_well(row) -> None:
    assert shown(LabelsTellNothing(), [row] * 20, every=100) is None


def test_a_head_that_cannot_name_the_classes_of_reals_says_the_same() -> None:
    row = {"samples/label_sight": 0.3, "samples/largest_class": 0.1, "discriminator/class_accuracy": 0.11}
    assert shown(LabelsTellNothing(), [row] * 8)
    assert not shown(LabelsTellNothing(), [{**row, "discriminator/class_accuracy": 0.3}] * 8)


# -- scores -------------------------------------------------------------------------------------------------------


def test_a_score_that_comes_back_from_its_best_names_the_step_to_stop_at() -> None:
    rows = series("score/fid_mnistcnn@10k", 90, 20, 10, 12, 16, 17, 18)
    step, finding = found(ScoreRebounds(), rows, every=1000)
    assert step == 7000
    assert finding.saw == "fid_mnistcnn@10k gets worse again: it is 18, at its best it was 10, at step 3000"
    assert shown(ScoreRebounds(), series("score/fid_mnistcnn@10k", 90, 20, 10, 12, 16, 12, 16, 11)) is None
    assert shown(ScoreRebounds(), series("score/tstr@10k", 0.9, 0.5, 0.4, 0.5))
    assert not shown(ScoreRebounds(), series("score/tstr@10k", 0.1, 0.5, 0.9, 0.95))


def test_a_class_that_is_hardly_drawn_any_more_is_named() -> None:
    row = {f"score/share.{name}": share for name, share in (("cat", 0.52), ("dog", 0.47), ("owl", 0.01))}
    before = {**row, "score/share.owl": 0.2}
    _, finding = found(ClassGone(), [before, row, row, row])
    assert "share.owl is 1.00%, an equal share is 33.33%" in finding.saw
    assert shown(ClassGone(), [{**row, "score/share.owl": 0.1}] * 3) is None
    assert shown(ClassGone(), [row] * 3) is None, "it has not come yet: the run is young"


# -- advice -------------------------------------------------------------------------------------------------------


def test_advice_is_in_the_words_of_the_runs_own_config() -> None:
    assert with_rate(CONFIG, "generator", 0.25) == "optimizer.players.generator.lr=5e-05"
    own = {"loss": {"penalties": {"r1": {"gamma": 1}, "r2": {"gamma": 0.5}}}}
    assert tamer_game(own) == "loss.penalties.r1.gamma=10 loss.penalties.r2.gamma=5"


# -- colours of translated pictures ---------------------------------------------------------------------------------


def colours(*shifts: float, source: float = 0.0) -> list[dict[str, float]]:
    return [{"colour/shift": shift, "colour/source": source} for shift in shifts]


def test_colours_that_leave_their_targets_are_told_in_grey_levels_with_the_players_rate() -> None:
    step, finding = found(ColourDrifts(), colours(*[0.01] * 5, 0.02, 0.04, 0.05, 0.06), every=100)
    assert (step, finding.since) == (900, 600)
    assert finding.saw == (
        "colours drift: the mean colour of translated pictures is 15 of 255 levels away from that of their targets "
        "(at best 3), for 300 steps"
    )
    assert finding.advice == "optimizer.players.generator.lr=5e-05"


@pytest.mark.parametrize(
    "rows",
    [
        colours(*[0.2 / k for k in range(1, 20)]),  # on its way to its targets
        colours(*[0.01, 0.029] * 10),  # it wavers by a few grey levels
        colours(*[0.01] * 5, *[0.08] * 5, source=0.4),  # two domains of unlike colours
        colours(0.5, 0.1, 0.01),  # the first steps
        [{"generator/psnr": 20.0}] * 20,
    ],
)
def test_other_colours_are_healthy(rows: list[dict[str, float]]) -> None:
    assert shown(ColourDrifts(), rows, every=100) is None


def test_a_game_with_weights_is_told_which_of_them_to_change() -> None:
    symptom = ColourDrifts()
    symptom.begin(ROLES)
    told = {}
    weights: dict[str, dict[str, float]] = {
        "paired": {"adversarial_weight": 0.1},
        "cyclegan": {"identity_weight": 0},
        "fastcut": {"identity_weight": 0, "nce_weight": 10, "adversarial_weight": 1},
        "cut": {"identity_weight": 1, "nce_weight": 1, "adversarial_weight": 1},
    }
    for name, model in weights.items():
        for number, row in enumerate(colours(*[0.0] * 4, *[0.1] * 3), 1):
            finding = symptom.look({"step": 100 * number, **row}, {**CONFIG, "model": model})
        told[name] = finding.advice if finding else None
    unless = "(not where one domain is the negative of the other)"
    assert told == {
        "paired": "model.adversarial_weight=0.01 or optimizer.players.generator.lr=5e-05",
        "cyclegan": f"model.identity_weight=5 {unless} or optimizer.players.generator.lr=5e-05",
        "fastcut": f"model.identity_weight=1 {unless} or optimizer.players.generator.lr=5e-05",
        "cut": "model.adversarial_weight=0.1 or optimizer.players.generator.lr=5e-05",
    }
