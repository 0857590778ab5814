"""coupling: one pass over reals and fakes only where it is known to be the two passes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ganrun.losses.adversarial import NonSaturating
from ganrun.losses.penalties import R1, GradientPenalty
from ganrun.networks.dcgan import DCGANDiscriminator
from ganrun.networks.latents import Normal
from ganrun.networks.mlp import MLPDiscriminator, MLPGenerator
from ganrun.systems.coupling import couples_images
from ganrun.systems.gan import GAN


class Coupled(nn.Module):
    """Somebody's own layer: nothing is known of it."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features - features.mean(0)


@pytest.mark.parametrize(
    ("network", "apart"),
    [
        (MLPDiscriminator(1, 8), True),
        (DCGANDiscriminator(1, 16, 4, norm="none"), True),
        (DCGANDiscriminator(1, 16, 4, norm="instance"), True),
        (DCGANDiscriminator(1, 16, 4, norm="batch"), False),
        (DCGANDiscriminator(1, 16, 4, norm="spectral"), False),
        (DCGANDiscriminator(1, 16, 4, norm="none", minibatch="stddev"), False),
        (nn.Sequential(nn.Flatten(), Coupled(), nn.Linear(64, 1)), False),
    ],
    ids=["mlp", "none", "instance", "batch", "spectral", "minibatch", "unknown"],
)
def test_only_what_is_known_not_to_couple_images_gets_one_pass(network: nn.Module, apart: bool) -> None:
    assert couples_images(network) is not apart


@pytest.mark.parametrize("penalties", [None, [R1(1.0)], [GradientPenalty()]], ids=["none", "r1", "gp"])
def test_one_pass_gives_the_terms_and_gradients_of_two(penalties: list | None) -> None:
    torch.manual_seed(0)
    system = GAN(MLPGenerator(4, 1, 8), MLPDiscriminator(1, 8), Normal(4), NonSaturating(penalties))
    assert system.one_pass
    real, fake = torch.rand(2, 6, 1, 8, 8)
    weights = list(system.discriminator.parameters())
    found = []
    for system.one_pass in (True, False):
        torch.manual_seed(1)
        objective = system.loss.discriminator_objective(system.discriminator_for({}), real, fake)
        found.append((objective.total, torch.autograd.grad(objective.total, weights[:2])))
    (one, of_one), (two, of_two) = found
    torch.testing.assert_close(one, two, rtol=1e-6, atol=0)
    for a, b in zip(of_one, of_two, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-7)


def test_a_model_that_is_told_the_class_keeps_two_passes() -> None:
    assert not GAN(nn.Identity(), MLPDiscriminator(1, 8), Normal(4), NonSaturating(), classes=10).one_pass


class DeclaredBefore(Coupled):
    """As users declared it for earlier versions."""

    image_by_image = True


def test_a_network_that_declares_it_by_the_earlier_name_gets_one_pass() -> None:
    assert not couples_images(nn.Sequential(nn.Flatten(), DeclaredBefore(), nn.Linear(64, 1)))
