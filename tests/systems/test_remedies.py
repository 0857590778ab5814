"""GAN's remedies: both sides augmented, features matched, the generator more often."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from ganrun.augmentations.augmentation import Augmentation
from ganrun.augmentations.instance_noise import InstanceNoise
from ganrun.losses.adversarial import NonSaturating, Wasserstein
from ganrun.losses.loss import AdversarialLoss
from ganrun.losses.relativistic import RelativisticLogistic
from ganrun.networks.conditional import ConditionalDiscriminator
from ganrun.networks.latents import Normal
from ganrun.networks.mlp import MLPDiscriminator, MLPGenerator
from ganrun.systems.acgan import ACGAN
from ganrun.systems.gan import GAN

BATCH = {"image": torch.full((3, 1, 4, 4), 0.5), "label": torch.tensor([0, 1, 2])}


class Shift(Augmentation):
    def forward(self, images: Tensor) -> Tensor:
        return images + 100


def make(loss: AdversarialLoss | None = None, discriminator: nn.Module | None = None, **settings) -> GAN:
    torch.manual_seed(0)
    generator = MLPGenerator(4, 1, 4, widths=(8,))
    return GAN(generator, discriminator or MLPDiscriminator(1, 4, (8,)), Normal(4), loss or NonSaturating(), **settings)


def seen_by(network: nn.Module) -> list[Tensor]:
    found: list[Tensor] = []
    network.register_forward_hook(lambda module, inputs, output: found.append(inputs[0]))
    return found


@pytest.mark.parametrize(("loss", "passes"), [(NonSaturating(), 3), (RelativisticLogistic(), 4)])
def test_reals_and_fakes_are_augmented_in_both_turns_and_verdicts_are_not(loss: AdversarialLoss, passes: int) -> None:
    system = make(loss, augmentation=Shift())
    seen = seen_by(system.discriminator)
    for turn in system.turns(0):
        turn.objective(BATCH)
    assert len(seen) == passes
    assert all((images > 98).all() for images in seen)
    system.verdicts(BATCH["image"], BATCH)
    assert torch.equal(seen[-1], BATCH["image"])


def test_the_generators_gradient_flows_through_the_augmentation() -> None:
    system = make(augmentation=Shift())
    *_, turn = system.turns(0)
    turn.objective(BATCH).total.backward()
    assert all(weight.grad is not None and weight.grad.any() for weight in system.generator.parameters())


def test_an_auxiliary_classifier_is_augmented_too() -> None:
    discriminator = nn.Sequential(nn.Flatten(), nn.Linear(16, 4))
    system = ACGAN(Told(), discriminator, Normal(4), NonSaturating(), classes=3, augmentation=Shift())
    seen = seen_by(discriminator)
    for turn in system.turns(0):
        assert "class" in turn.objective(BATCH).terms
    assert len(seen) == 3
    assert all((images > 98).all() for images in seen)
    system.verdicts(BATCH["image"], BATCH)
    assert torch.equal(seen[-1], BATCH["image"])


class Told(nn.Module):
    """(N, Z) latents, (N,) labels -> (N, 1, 4, 4) images."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        return self.weight * latents[:, :1, None, None].expand(-1, -1, 4, 4)


def test_noise_fades_with_the_discriminators_turns_only() -> None:
    system = make(augmentation=InstanceNoise(turns=10))
    for player in ("discriminator", "generator", "discriminator"):
        system.after_turn(player)
    assert system.augmentation.taken.item() == 2


class Pixels(nn.Module):
    """Its features are the pixels, its logit is 0."""

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1).sum(1) * 0

    def features(self, images: Tensor) -> Tensor:
        return images


@pytest.mark.parametrize("augmentation", [None, Shift()])
def test_feature_matching_is_the_squared_distance_of_the_mean_features(augmentation: Augmentation | None) -> None:
    system = make(Wasserstein(), Pixels(), feature_matching=3, augmentation=augmentation)
    system.latents = lambda count, device: torch.zeros(count, 4)
    with torch.no_grad():
        fake = system.generator(torch.zeros(1, 4))
    discriminators, generators = (turn.objective(BATCH) for turn in system.turns(0))
    assert generators.terms["features"].item() == pytest.approx(3 * (0.5 - fake).square().sum().item(), rel=1e-3)
    assert "features" not in discriminators.terms


def test_features_are_what_the_last_layer_makes_the_logit_of() -> None:
    discriminator = MLPDiscriminator(1, 4, (8,))
    images = torch.randn(3, 1, 4, 4)
    assert torch.equal(discriminator.layers[-1](discriminator.features(images)).flatten(), discriminator(images))


def test_a_discriminator_without_features_is_refused_with_the_way_out() -> None:
    featureless = nn.Sequential(nn.Flatten(), nn.Linear(16, 1), nn.Flatten(0))
    with pytest.raises(ValueError, match=r"Sequential has no method features.*model\.feature_matching=0"):
        make(discriminator=featureless, feature_matching=1)
    with pytest.raises(ValueError, match="Sequential has no method features"):
        make(discriminator=ConditionalDiscriminator(featureless, 3, 4), classes=3, feature_matching=1)
    make(discriminator=featureless)


def test_the_generator_may_move_more_often_each_time_with_fakes_of_its_own() -> None:
    system = make(Wasserstein(discriminator_steps=2), generator_steps=3)
    system.one_pass = False  # reals, then fakes
    players = [[turn.player for turn in system.turns(step)] for step in range(2)]
    assert players == [["discriminator"], ["discriminator", *["generator"] * 3]]
    fakes = seen_by(system.discriminator)
    for turn in system.turns(1):
        turn.objective(BATCH).total.backward()
    fakes = fakes[1:]  # after the reals
    assert torch.equal(fakes[0], fakes[1]), "the first turn shares the discriminator's"
    assert not any(torch.equal(fakes[1], other) for other in fakes[2:])
    assert not torch.equal(fakes[2], fakes[3])
    with pytest.raises(ValueError, match="generator_steps=0"):
        make(generator_steps=0)
