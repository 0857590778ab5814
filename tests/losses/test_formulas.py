"""Each formula against numbers worked out by hand."""

from __future__ import annotations

from math import exp, log

import pytest
import torch
from torch import Tensor

from ganrun.losses.adversarial import Hinge, LeastSquares, Minimax, NonSaturating, Wasserstein
from ganrun.losses.loss import AdversarialLoss
from ganrun.losses.relativistic import RelativisticAverage, RelativisticLogistic

REAL, FAKE = torch.tensor([2.0, 0.0]), torch.tensor([-1.0, 3.0])


def softplus(x: float) -> float:
    return log(1 + exp(x))


def generator_value(loss: AdversarialLoss) -> float:
    """The images are their own logits."""
    return loss.generator_objective(lambda images: images, FAKE, REAL).total.item()


MINIMAX = (softplus(-2) + softplus(0) + softplus(-1) + softplus(3)) / 2


@pytest.mark.parametrize(
    ("loss", "discriminator", "generator"),
    [
        (Minimax(), MINIMAX, -(softplus(-1) + softplus(3)) / 2),
        (NonSaturating(), MINIMAX, (softplus(1) + softplus(-3)) / 2),
        (LeastSquares(), (1 + 1) / 4 + (1 + 9) / 4, (4 + 4) / 4),
        (Hinge(), (0 + 1) / 2 + (0 + 4) / 2, -1.0),
        (Wasserstein(), 1.0 - 1.0, -1.0),
        (RelativisticLogistic(), (softplus(-3) + softplus(3)) / 2, (softplus(3) + softplus(-3)) / 2),
        (
            RelativisticAverage(),  # both means are 1
            (softplus(-1) + softplus(1) + softplus(-2) + softplus(2)) / 2,
            (softplus(2) + softplus(-2) + softplus(1) + softplus(-1)) / 2,
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, AdversarialLoss) else "",
)
def test_formula_by_hand(loss: AdversarialLoss, discriminator: float, generator: float) -> None:
    assert loss.discriminator(REAL, FAKE).item() == pytest.approx(discriminator, abs=1e-6)
    assert generator_value(loss) == pytest.approx(generator, abs=1e-6)


def test_rpgan_tells_the_players_apart() -> None:
    real, fake = torch.tensor([2.0]), torch.tensor([-1.0])
    loss = RelativisticLogistic()
    assert loss.discriminator(real, fake).item() == pytest.approx(softplus(-3))
    objective = loss.generator_objective(lambda images: images, fake, real)
    assert objective.total.item() == pytest.approx(softplus(3))


def test_label_smoothing_is_one_sided_cross_entropy() -> None:
    label = torch.full_like(REAL, 0.9)
    cross_entropy = torch.nn.functional.binary_cross_entropy_with_logits
    expected = cross_entropy(REAL, label) + cross_entropy(FAKE, torch.zeros_like(FAKE))
    assert torch.allclose(Minimax(smoothing=0.1).discriminator(REAL, FAKE), expected)
    assert generator_value(NonSaturating(smoothing=0.1)) == generator_value(NonSaturating())


def test_smoothed_reals_want_a_logit_of_log_nine() -> None:
    logit = torch.tensor([log(0.9 / 0.1)], requires_grad=True)
    (gradient,) = torch.autograd.grad(Minimax(smoothing=0.1).discriminator(logit, FAKE), logit)
    assert gradient.item() == pytest.approx(0, abs=1e-6)


def normal_density(x: Tensor, mean: float) -> Tensor:
    return torch.exp(-((x - mean) ** 2) / 2) / (2 * torch.pi) ** 0.5


def value(logits: Tensor, x: Tensor, p: Tensor, q: Tensor) -> Tensor:
    """V(D, G) of Goodfellow et al., 2014, integrated over x."""
    minus_log = torch.nn.functional.softplus
    return -torch.trapezoid(p * minus_log(-logits) + q * minus_log(logits), x)


def test_the_best_discriminator_is_p_over_p_plus_q() -> None:
    x = torch.linspace(-8, 8, 2001, dtype=torch.float64)
    p, q = normal_density(x, -0.5), normal_density(x, 1.0)
    logits = (p.log() - q.log()).requires_grad_()  # sigmoid(log p/q) = p / (p + q)
    best = value(logits, x, p, q)
    (gradient,) = torch.autograd.grad(best, logits)
    assert gradient.abs().max() < 1e-12
    middle = (p + q) / 2
    jensen_shannon = torch.trapezoid(p * (p / middle).log() + q * (q / middle).log(), x) / 2
    assert best.item() == pytest.approx(-log(4) + 2 * jensen_shannon.item(), abs=1e-9)
    for nudge in (-0.1, 0.1):
        assert value(logits + nudge, x, p, q) < best


def test_the_value_at_equilibrium_is_minus_log_four() -> None:
    x = torch.linspace(-8, 8, 2001, dtype=torch.float64)
    p = normal_density(x, 0.0)
    assert value(torch.zeros_like(x), x, p, p).item() == pytest.approx(-log(4), abs=1e-9)
    undecided = torch.zeros(5)
    assert -Minimax().discriminator(undecided, undecided).item() == pytest.approx(-log(4))


def test_huge_logits_stay_finite() -> None:
    far = torch.tensor([1e4, -1e4])
    for loss in (Minimax(), NonSaturating(), RelativisticLogistic(), RelativisticAverage()):
        assert loss.discriminator(far, -far).isfinite()
        assert loss.generator_objective(lambda images: images, far, -far).total.isfinite()


@pytest.mark.parametrize("smoothing", [-0.1, 1.0])
def test_impossible_smoothing_is_refused(smoothing: float) -> None:
    with pytest.raises(ValueError, match=f"smoothing={smoothing}"):
        Minimax(smoothing=smoothing)
