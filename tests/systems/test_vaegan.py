"""VAE and VAE-GAN: what the autoencoder pays, and who hears of it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ganrun.losses.adversarial import LeastSquares, Wasserstein
from ganrun.losses.relativistic import RelativisticLogistic
from ganrun.networks.latents import Normal
from ganrun.systems.vae import VAE
from ganrun.systems.vaegan import VAEGAN
from tests.systems.pictures import Weigh, flat

BATCH = {"image": flat(0.5, -0.5, 0.5, -0.5, size=(2, 2))}


class Says(nn.Module):
    """An encoder that says the same of every picture: a mean and a log variance."""

    def __init__(self, mean: float, log_variance: float) -> None:
        super().__init__()
        self.says = nn.Parameter(torch.tensor([mean, log_variance]))

    def forward(self, images):
        return self.says.expand(len(images), 2)


class Even(nn.Module):
    """A generator of even pictures: weight · z."""

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight))

    def forward(self, latents):
        return (self.weight * latents).view(-1, 1, 1, 1).expand(-1, 1, 2, 2)


def vaegan(mean=0.0, log_variance=0.0, weight=0.0, loss=None, **settings) -> VAEGAN:
    judge = nn.Sequential(Weigh(3.0), nn.Flatten())
    return VAEGAN(Says(mean, log_variance), Even(weight), judge, Normal(1), loss or LeastSquares(), **settings)


def objectives(system, step: int = 0):
    return {turn.player: turn.objective(BATCH) for turn in system.turns(step)}


def test_the_evidence_is_in_nats() -> None:
    """KL(N(2, e) ‖ N(0, 1)) = ½ (4 + e − 1 − 1); black-to-grey pictures are ½ · 4 pixels · 0.25 away from zero."""
    objective = objectives(VAE(Says(2.0, 1.0), Even(0.0), Normal(1), LeastSquares()))["autoencoder"]
    assert objective.terms["kl"].item() == pytest.approx((4 + 2.718282 - 2) / 2)
    assert objective.terms["reconstruction"].item() == pytest.approx(0.5)
    assert objective.monitors["mse"].item() == pytest.approx(0.25)


def test_the_encoder_of_the_prior_pays_no_divergence() -> None:
    assert objectives(vaegan())["autoencoder"].terms["kl"].item() == 0


def test_errors_are_measured_in_the_discriminators_features_where_a_layer_is_named() -> None:
    """The first layer triples: squared errors grow ninefold."""
    assert objectives(vaegan())["autoencoder"].terms["reconstruction"].item() == pytest.approx(0.5)
    found = objectives(vaegan(feature_layer="0"))["autoencoder"].terms["reconstruction"]
    assert found.item() == pytest.approx(4.5)


def test_a_layer_that_there_is_not_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="feature_layer=7 is not a module of the discriminator: use null or 0, 1"):
        vaegan(feature_layer="7")


def test_the_adversarial_loss_never_reaches_the_encoder() -> None:
    system = vaegan(mean=1.0, weight=0.5)
    term = objectives(system)["autoencoder"].terms["adversarial"]
    encoder, generator = (list(system.autoencoder[name].parameters()) for name in ("encoder", "generator"))
    assert torch.autograd.grad(term, encoder, allow_unused=True, retain_graph=True) == (None,)
    assert torch.autograd.grad(term, generator)[0] != 0


def test_half_of_the_fakes_are_reconstructions_and_half_samples() -> None:
    fakes = vaegan(weight=1.0).fakes(torch.full((5, 1), 7.0))
    assert (fakes == 7).flatten(1).all(1).tolist() == [True, True, False, False, False]


@pytest.mark.parametrize("loss", [RelativisticLogistic(), Wasserstein(discriminator_steps=2)])
def test_other_losses_play_too(loss) -> None:
    players = [list(objectives(vaegan(loss=loss), step)) for step in range(2)]
    steps = loss.discriminator_steps
    assert players == [["discriminator", "autoencoder"][: 3 - steps], ["discriminator", "autoencoder"]]


def test_samples_come_from_nothing_and_a_grid_shows_picture_reconstruction_sample() -> None:
    system = vaegan(mean=0.25, weight=2.0)
    assert system.render(system.draw(3)).shape == (3, 1, 2, 2)
    with pytest.raises(ValueError, match="unconditional"):
        system.draw(3, labels=[1])
    examples = system.examples(BATCH, 2)
    picture, reconstruction, sample = system.panels(examples).values()
    assert torch.equal(picture, BATCH["image"][:2])
    assert reconstruction.unique().tolist() == [0.5]
    assert torch.equal(sample, system.render(examples))
