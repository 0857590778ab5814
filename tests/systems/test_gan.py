"""GAN: who moves when, with which fakes, and which pairs are refused."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from ganrun.losses.adversarial import NonSaturating, Wasserstein
from ganrun.losses.penalties import GradientPenalty
from ganrun.networks.latents import Normal
from ganrun.networks.mlp import MLPDiscriminator, MLPGenerator
from ganrun.systems.gan import GAN


def make(loss=None, share_fakes: bool = True, discriminator: nn.Module | None = None) -> GAN:
    torch.manual_seed(0)
    generator = MLPGenerator(4, 1, 4, widths=(8,))
    return GAN(
        generator, discriminator or MLPDiscriminator(1, 4, (8,)), Normal(4), loss or NonSaturating(), share_fakes
    )


BATCH = {"image": torch.zeros(3, 1, 4, 4)}


def test_the_generator_moves_after_so_many_discriminator_steps() -> None:
    system = make(Wasserstein(discriminator_steps=3))
    players = [[turn.player for turn in system.turns(step)] for step in range(6)]
    assert players == [["discriminator"], ["discriminator"], ["discriminator", "generator"]] * 2


@pytest.mark.parametrize(("share", "passes"), [(True, 1), (False, 2)])
def test_shared_fakes_cost_one_forward_pass(share: bool, passes: int) -> None:
    system = make(share_fakes=share)
    calls = []
    system.generator.register_forward_hook(lambda *_: calls.append(1))
    for turn in system.turns(0):
        turn.objective(BATCH)
    assert len(calls) == passes


def test_sharing_changes_no_number_for_the_same_noise() -> None:
    def gradients(share: bool) -> list[Tensor]:
        system = make(share_fakes=share)
        system.latents = lambda count, device: torch.linspace(-1, 1, count * 4).view(count, 4)
        found = []
        for turn in system.turns(0):
            weights = list(system.players()[turn.player].parameters())
            objective = turn.objective(BATCH)
            found += torch.autograd.grad(objective.total, weights)
        return found

    for shared, apart in zip(gradients(True), gradients(False), strict=True):
        assert torch.equal(shared, apart)


def test_no_graph_through_the_generator_where_it_does_not_move() -> None:
    system = make(Wasserstein(discriminator_steps=2))
    made = []
    system.generator.register_forward_hook(lambda module, args, output: made.append(output.requires_grad))
    for turn in system.turns(0):
        turn.objective(BATCH)
    assert made == [False]


def test_batchnorm_under_a_per_image_penalty_is_refused_with_the_way_out() -> None:
    norm = nn.Sequential(nn.Conv2d(1, 1, 4), nn.BatchNorm2d(1), nn.Flatten(0))
    with pytest.raises(ValueError, match=r"model\.discriminator\.norm=none"):
        make(Wasserstein(penalties={"gradient": GradientPenalty()}), discriminator=norm)


def test_labels_are_refused_by_an_unconditional_game() -> None:
    with pytest.raises(ValueError, match="unconditional"):
        make().draw(3, labels=[1])


def test_clipping_happens_after_the_discriminators_turn_only() -> None:
    system = make(Wasserstein(clip=0.01))
    system.after_turn("generator")
    assert any((weight.abs() > 0.01).any() for weight in system.discriminator.parameters())
    system.after_turn("discriminator")
    assert all((weight.abs() <= 0.01).all() for weight in system.discriminator.parameters())
