"""WGAN: the clip holds, and the gap it leaves follows the true distance."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import wasserstein_distance
from torch import nn

from ganrun.losses.adversarial import Wasserstein


def test_every_weight_is_inside_the_clip() -> None:
    discriminator = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Linear(8, 1))
    Wasserstein(clip=0.01).constrain(discriminator)
    weights = torch.cat([weight.flatten() for weight in discriminator.parameters()])
    assert weights.abs().max().item() == pytest.approx(0.01)
    assert weights.requires_grad
    inside = [weight.clone() for weight in discriminator.parameters()]
    Wasserstein(clip=0.02).constrain(discriminator)
    assert all(torch.equal(weight, old) for weight, old in zip(discriminator.parameters(), inside, strict=True))


def test_without_a_clip_weights_are_left_alone() -> None:
    discriminator = nn.Linear(8, 1)
    before = discriminator.weight.clone()
    Wasserstein().constrain(discriminator)
    assert torch.equal(discriminator.weight, before)


def test_a_clip_that_is_not_positive_is_refused() -> None:
    with pytest.raises(ValueError, match="clip=0"):
        Wasserstein(clip=0)


def trained_gap(real: torch.Tensor, fake: torch.Tensor) -> float:
    torch.manual_seed(0)
    discriminator = nn.Sequential(nn.Linear(1, 16), nn.LeakyReLU(0.2), nn.Linear(16, 1), nn.Flatten(0))
    loss = Wasserstein(clip=0.1)
    optimizer = torch.optim.RMSprop(discriminator.parameters(), lr=5e-3)
    for _ in range(120):
        objective = loss.discriminator_objective(discriminator, real, fake)
        optimizer.zero_grad()
        objective.total.backward()
        optimizer.step()
        loss.constrain(discriminator)
    return objective.monitors["gap"].item()


def test_the_gap_follows_the_true_distance() -> None:
    noise = torch.Generator().manual_seed(0)
    real = torch.randn(256, 1, generator=noise)
    gaps, distances = [], []
    for shift in (0.5, 1.0, 2.0, 3.0, 4.0, 6.0):
        fake = shift + torch.randn(256, 1, generator=noise)
        gaps.append(trained_gap(real, fake))
        distances.append(wasserstein_distance(real.flatten().numpy(), fake.flatten().numpy()))
    correlation = torch.corrcoef(torch.tensor([gaps, distances]))[0, 1]  # clipping fixes the gap only up to a factor
    assert correlation >= 0.99
