"""Penalties of discriminators simple enough to know the answer."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from ganrun.losses.adversarial import Hinge, NonSaturating
from ganrun.losses.penalties import R1, R2, Consistency, Dragan, GradientPenalty, LeCam, Penalty, Score, Scored

W = torch.tensor([1.0, 2.0, 2.0, 4.0])  # |w| = 5
PER_IMAGE = [R1(3.0), R2(3.0), GradientPenalty(), Dragan()]


def images(count: int = 6) -> Tensor:
    return torch.randn(count, 1, 2, 2, generator=torch.Generator().manual_seed(0))


def linear(x: Tensor) -> Tensor:
    return x.flatten(1) @ W.to(x.dtype)


def half_square(x: Tensor) -> Tensor:
    """∇D(x) = x."""
    return x.flatten(1).square().sum(1) / 2


def term(penalty: Penalty, score: Score, real: Tensor, fake: Tensor, step: int = 0) -> Tensor:
    return Hinge({"penalty": penalty}).discriminator_objective(score, real, fake, step).terms["penalty"]


def test_r1_of_a_linear_discriminator_is_half_gamma_w_squared() -> None:
    assert term(R1(gamma=3.0), linear, images(), images()).item() == pytest.approx(3 / 2 * 25)


def test_r1_looks_at_reals_and_r2_at_fakes() -> None:
    real, fake = torch.ones(6, 1, 2, 2), 3 * torch.ones(6, 1, 2, 2)
    assert term(R1(gamma=2.0), half_square, real, fake).item() == pytest.approx(4)
    assert term(R2(gamma=2.0), half_square, real, fake).item() == pytest.approx(36)


def test_gradient_penalty_of_a_linear_discriminator() -> None:
    assert term(GradientPenalty(weight=10), linear, images(), images()).item() == pytest.approx(10 * (5 - 1) ** 2)
    assert term(GradientPenalty(weight=10, center=0), linear, images(), images()).item() == pytest.approx(250)


def test_gradient_penalty_draws_one_coefficient_for_each_image() -> None:
    seen: list[Tensor] = []

    def score(x: Tensor) -> Tensor:
        seen.append(x.detach())
        return linear(x)

    term(GradientPenalty(), score, torch.ones(8, 3, 2, 2).mean(1, keepdim=True), torch.zeros(8, 1, 2, 2))
    between = seen[2].flatten(1)  # after reals and fakes
    assert torch.equal(between, between[:, :1].expand_as(between))  # the same for every pixel of an image
    assert between[:, 0].unique().numel() == 8  # another for every image
    assert between.min() >= 0
    assert between.max() <= 1


def test_dragan_stays_near_the_reals() -> None:
    seen: list[Tensor] = []

    def score(x: Tensor) -> Tensor:
        seen.append(x.detach())
        return linear(x)

    real = images(64)
    value = term(Dragan(weight=10), score, real, 100 + real)
    delta = seen[2] - real
    assert value.item() == pytest.approx(10 * (5 - 1) ** 2)
    assert delta.min() >= 0
    assert delta.max() <= 0.5 * real.std()
    assert delta.unique().numel() > 250  # drawn for each pixel


@pytest.mark.parametrize("penalty", PER_IMAGE, ids=lambda penalty: type(penalty).__name__)
def test_penalties_teach_the_discriminator(penalty: Penalty) -> None:
    w = W.clone().requires_grad_()
    term(penalty, lambda x: x.flatten(1) @ w, images(), images()).backward()
    assert w.grad is not None
    assert torch.dot(w.grad, W) > 0  # all of them want |w| = 5 smaller


def test_a_flat_discriminator_gets_finite_gradients() -> None:
    w = torch.zeros(4, requires_grad=True)
    term(GradientPenalty(), lambda x: x.flatten(1) @ w, images(), images()).backward()
    assert w.grad is not None
    assert w.grad.isfinite().all()


def test_r1_and_r2_reuse_the_passes_already_made() -> None:
    calls: list[bool] = []

    def score(x: Tensor) -> Tensor:
        calls.append(x.requires_grad)
        return linear(x)

    real = images()
    Hinge({"r1": R1(1.0)}).discriminator_objective(score, real, images())
    assert calls == [True, False]
    calls.clear()
    Hinge({"r1": R1(1.0), "r2": R2(1.0)}).discriminator_objective(score, real, images())
    assert calls == [True, True]
    calls.clear()
    Hinge({"r1": R1(1.0, every=2)}).discriminator_objective(score, real, images(), step=1)
    assert calls == [False, False]
    assert not real.requires_grad  # the caller's images are left as they were


@pytest.mark.parametrize("make", [R1, R2, GradientPenalty, Dragan])
def test_a_lazy_penalty_has_the_same_mean(make: type[Penalty]) -> None:
    def total(loss: Hinge) -> float:
        objectives = [loss.discriminator_objective(linear, images(), images(), step) for step in range(8)]
        return sum(objective.terms.get("p", torch.zeros(())).item() for objective in objectives)

    assert total(Hinge({"p": make(2.0, every=4)})) == pytest.approx(total(Hinge({"p": make(2.0)})))


def test_a_lazy_penalty_acts_at_steps_0_4_8() -> None:
    loss = Hinge({"r1": R1(1.0, every=4)})
    acts = ["r1" in loss.discriminator_objective(linear, images(), images(), step).terms for step in range(9)]
    assert [step for step, active in enumerate(acts) if active] == [0, 4, 8]


@pytest.mark.parametrize("penalty", PER_IMAGE, ids=lambda penalty: type(penalty).__name__)
def test_penalties_are_float32_under_bfloat16(penalty: Penalty) -> None:
    torch.manual_seed(0)
    discriminator = nn.Sequential(nn.Flatten(), nn.Linear(4, 32), nn.Softplus(), nn.Linear(32, 1), nn.Flatten(0))
    dtypes: list[torch.dtype] = []

    def score(x: Tensor) -> Tensor:
        logits = discriminator(x)
        dtypes.append(logits.dtype)
        return logits

    def value_and_gradient(bf16: bool) -> tuple[Tensor, Tensor]:
        torch.manual_seed(1)  # the same interpolation and noise
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            value = term(penalty, score, images(), images().flip(0))
        return value, torch.autograd.grad(value, discriminator[1].weight)[0]

    exact, exact_gradient = value_and_gradient(bf16=False)
    dtypes.clear()
    value, gradient = value_and_gradient(bf16=True)
    assert dtypes == [torch.bfloat16, torch.bfloat16, torch.float32]
    assert torch.allclose(value, exact, rtol=1e-6)
    assert torch.allclose(gradient, exact_gradient, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("penalty", PER_IMAGE, ids=lambda penalty: type(penalty).__name__)
def test_a_penalty_that_may_stay_in_bfloat16_reuses_the_forward_pass_and_is_near(penalty: Penalty) -> None:
    torch.manual_seed(0)
    discriminator = nn.Sequential(nn.Flatten(), nn.Linear(4, 32), nn.Softplus(), nn.Linear(32, 1), nn.Flatten(0))
    penalty = copy.deepcopy(penalty)
    penalty.compute_in_autocast(True)

    def value_and_gradient(bf16: bool) -> tuple[Tensor, Tensor]:
        torch.manual_seed(1)  # the same interpolation and noise
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            value = term(penalty, discriminator, images(), images().flip(0))
        return value, torch.autograd.grad(value, discriminator[1].weight)[0]

    (exact, exact_gradient), (value, gradient) = value_and_gradient(False), value_and_gradient(True)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, exact, rtol=0.02, atol=0)
    assert not torch.equal(value, exact), "it did not stay"
    assert torch.cosine_similarity(gradient.flatten(), exact_gradient.flatten(), dim=0) > 0.99


def test_bfloat16_fakes_are_penalised_in_float32() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        value = term(R2(gamma=2.0), half_square, images(), images().bfloat16())
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(images().bfloat16().float().square().flatten(1).sum(1).mean().item())


def test_lecam_pulls_towards_the_other_kinds_running_mean() -> None:
    penalty = LeCam(weight=2.0, decay=0.9)
    real, fake = torch.tensor([1.0, 3.0]), torch.tensor([-4.0])
    scored = Scored(linear, images(), images(), real, fake)
    # the means move from 0 to a tenth of 2 and of -4
    assert penalty(scored).item() == pytest.approx(2 * ((1.4**2 + 3.4**2) / 2 + 4.2**2))
    penalty(scored)
    assert penalty.average_real.item() == pytest.approx(0.2 + 0.1 * (2 - 0.2))
    assert penalty.average_fake.item() == pytest.approx(-0.4 + 0.1 * (-4 + 0.4))


def test_lecams_means_are_saved_with_the_loss() -> None:
    loss = Hinge({"lecam": LeCam()})
    loss.discriminator_objective(linear, images(), 1 + images())
    twin = Hinge({"lecam": LeCam()})
    twin.load_state_dict(loss.state_dict())
    assert set(twin.state_dict()) == {"penalties.lecam.average_real", "penalties.lecam.average_fake"}
    assert twin.state_dict()["penalties.lecam.average_fake"] != 0


def test_lecam_needs_no_pass_of_its_own() -> None:
    calls = []
    NonSaturating({"lecam": LeCam()}).discriminator_objective(
        lambda x: calls.append(x) or linear(x), images(), images()
    )
    assert len(calls) == 2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: R1(1.0, every=0), "R1: every=0"),
        (lambda: R2(-1.0), "R2: a weight of -1.0"),
        (lambda: LeCam(decay=1.0), "decay=1.0"),
    ],
)
def test_impossible_settings_are_refused(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


class PerImageBefore(Penalty):
    """As users wrote them for earlier versions."""

    per_image = False

    def measure(self, scored: Scored) -> Tensor:
        return scored.score(scored.real).float().mean()


def test_a_penalty_with_the_earlier_names_counts_as_before() -> None:
    loss = Hinge({"own": PerImageBefore(2.0)})
    assert not loss.refuses_coupling
    assert not loss.per_image
    objective = loss.discriminator_objective(lambda x: x.flatten(1).sum(1), images(), images())
    assert objective.terms["own"].item() == pytest.approx(2 * images().flatten(1).sum(1).mean().item())


class Brighter(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + 0.5


def test_consistency_is_the_squared_change_of_the_logits_of_reals_and_of_fakes() -> None:
    """A linear D changes by 0.5 Σ w = 4.5 for each image."""
    assert term(Consistency(Brighter(), weight=10), linear, images(), images()).item() == pytest.approx(10 * 2 * 4.5**2)
