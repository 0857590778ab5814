"""What a loss promises the system: order of the passes, terms, monitors, gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from ganrun.losses.adversarial import Hinge, LeastSquares, NonSaturating, Wasserstein
from ganrun.losses.loss import AdversarialLoss
from ganrun.losses.penalties import R1, R2, Dragan, GradientPenalty, LeCam
from ganrun.losses.relativistic import RelativisticAverage, RelativisticLogistic

LOSSES = [NonSaturating, LeastSquares, Hinge, Wasserstein, RelativisticLogistic, RelativisticAverage]
REAL, FAKE = torch.ones(4, 1, 2, 2), -torch.ones(4, 1, 2, 2)


class Watched:
    """A linear score that remembers what it was shown."""

    def __init__(self) -> None:
        self.seen: list[Tensor] = []

    def __call__(self, images: Tensor) -> Tensor:
        self.seen.append(images)
        return images.flatten(1).sum(1)


@pytest.mark.parametrize("loss_class", LOSSES)
def test_reals_then_fakes_in_separate_passes(loss_class: type[AdversarialLoss]) -> None:
    score = Watched()
    loss_class().discriminator_objective(score, REAL, FAKE)
    assert [images.mean().item() for images in score.seen] == [1, -1]


@pytest.mark.parametrize("loss_class", [RelativisticLogistic, RelativisticAverage])
def test_a_relativistic_generator_scores_reals_first_and_without_a_graph(loss_class: type[AdversarialLoss]) -> None:
    graphs = []
    discriminator = nn.Sequential(nn.Flatten(), nn.Linear(4, 1), nn.Flatten(0))

    def score(images: Tensor) -> Tensor:
        logits = discriminator(images)
        graphs.append((images.mean().item(), logits.requires_grad))
        return logits

    loss_class().generator_objective(score, FAKE, REAL)
    assert graphs == [(1, False), (-1, True)]


@pytest.mark.parametrize("loss_class", [NonSaturating, LeastSquares, Hinge, Wasserstein])
def test_other_generators_do_not_look_at_reals(loss_class: type[AdversarialLoss]) -> None:
    score = Watched()
    loss_class().generator_objective(score, FAKE, REAL)
    assert [images.mean().item() for images in score.seen] == [-1]


@pytest.mark.parametrize("loss_class", LOSSES)
def test_the_generator_is_told_to_raise_its_score(loss_class: type[AdversarialLoss]) -> None:
    shift = torch.zeros((), requires_grad=True)
    loss_class().generator_objective(Watched(), FAKE + shift, REAL).total.backward()
    assert shift.grad is not None
    assert shift.grad < 0


@pytest.mark.parametrize("loss_class", LOSSES)
def test_the_discriminators_turn_never_reaches_the_generator(loss_class: type[AdversarialLoss]) -> None:
    shift = torch.zeros((), requires_grad=True)
    weight = torch.ones((), requires_grad=True)
    loss = loss_class({"r2": R2(1.0), "lecam": LeCam()})
    loss.discriminator_objective(lambda x: weight * x.flatten(1).sum(1), REAL, FAKE + shift).total.backward()
    assert shift.grad is None
    assert weight.grad is not None


def test_monitors_are_means_and_detached() -> None:
    weight = torch.ones((), requires_grad=True)
    monitors = Hinge().discriminator_objective(lambda x: weight * x.flatten(1).sum(1), REAL, FAKE / 2).monitors
    assert {name: value.item() for name, value in monitors.items()} == {
        "real_logit": 4,
        "fake_logit": -2,
        "accuracy": 1,
    }
    assert not any(value.requires_grad for value in monitors.values())


def test_accuracy_averages_both_kinds() -> None:
    real, fake = torch.tensor([1.0, 1.0, 1.0, -1.0]), torch.tensor([-1.0, 1.0])  # 3 of 4, 1 of 2
    assert Hinge().monitors(real, fake)["accuracy"].item() == (0.75 + 0.5) / 2


def test_least_squares_draws_the_line_halfway_between_its_labels() -> None:
    assert LeastSquares().monitors(torch.tensor([0.9]), torch.tensor([0.1]))["accuracy"].item() == 1


@pytest.mark.parametrize("loss_class", [Wasserstein, RelativisticLogistic, RelativisticAverage])
def test_accuracy_ignores_a_constant_where_the_loss_does(loss_class: type[AdversarialLoss]) -> None:
    assert loss_class().monitors(torch.tensor([101.0, 102.0]), torch.tensor([98.0, 99.0]))["accuracy"].item() == 1


def test_penalties_become_terms_under_their_names() -> None:
    loss = Hinge({"reals": R1(gamma=2.0)})
    objective = loss.discriminator_objective(Watched(), REAL, FAKE)
    assert list(objective.terms) == ["adversarial", "reals"]
    assert objective.total.item() == pytest.approx(0 + 4)  # |∇|² of a sum over 4 pixels is 4


def test_a_list_of_penalties_is_named_by_class() -> None:
    assert list(RelativisticLogistic([R1(1.0), R2(1.0)]).penalties) == ["r1", "r2"]


@pytest.mark.parametrize("penalties", [{"adversarial": R1(1.0)}, [R1(1.0), R1(2.0)]])
def test_two_terms_of_one_name_are_refused(penalties) -> None:
    with pytest.raises(ValueError, match="two terms are called"):
        Hinge(penalties)


def test_no_discriminator_step_is_refused() -> None:
    with pytest.raises(ValueError, match="discriminator_steps=0"):
        Hinge(discriminator_steps=0)


def test_whether_coupling_is_refused_is_asked_of_the_penalties() -> None:
    assert not Hinge().refuses_coupling
    assert not Hinge({"lecam": LeCam()}).refuses_coupling
    for penalty in (R1(1.0), R2(1.0), GradientPenalty(), Dragan()):
        assert Hinge({"lecam": LeCam(), "penalty": penalty}).refuses_coupling


def test_formulas_see_float32_logits() -> None:
    objective = Hinge().discriminator_objective(lambda x: x.flatten(1).sum(1).bfloat16(), REAL, FAKE)
    assert objective.total.dtype == torch.float32


def test_maps_of_logits_are_fine() -> None:
    loss = RelativisticLogistic({"r1": R1(1.0)})
    objective = loss.discriminator_objective(lambda x: x, REAL, FAKE)  # (4, 1, 2, 2): one logit a pixel
    assert objective.terms["r1"].item() == pytest.approx(0.5 * 4 * (1 / 4) ** 2)
