"""InfoGAN: the bound of the mutual information by hand, its gradients, and the choice of codes."""

from __future__ import annotations

import math

import pytest
import torch

from ganrun.losses.adversarial import NonSaturating
from ganrun.networks.dcgan import DCGANDiscriminator, DCGANGenerator
from ganrun.networks.latents import Coded, Normal
from ganrun.systems.infogan import InfoGAN, gaussian_nll

BATCH = {"image": torch.zeros(6, 1, 16, 16)}


def make(latent=None, **weights: float) -> InfoGAN:
    torch.manual_seed(0)
    generator = DCGANGenerator(latent_size=17, channels=1, image_size=16, base_channels=2)
    discriminator = DCGANDiscriminator(channels=1, image_size=16, base_channels=2, heads=15)
    return InfoGAN(generator, discriminator, latent or Coded(5, 10, 2), NonSaturating(), **weights)


def test_a_uniform_q_costs_log_10_and_the_continuous_codes_their_gaussian() -> None:
    system = make(code_weight=2)
    latents = system.latent.sample(6, "cpu")
    terms = system.informed(system.generator_turn(BATCH, system.fakes), torch.zeros(6, 14), latents).terms
    assert terms["code"].item() == pytest.approx(2 * math.log(10))
    codes = latents[:, -2:]
    by_hand = (codes.square() / 2).sum(1).mean() + math.log(2 * math.pi)
    assert terms["continuous"].item() == pytest.approx(0.1 * by_hand.item())


def test_the_gaussian_has_the_deviation_that_q_says() -> None:
    nll = gaussian_nll(torch.tensor([[1.0]]), torch.tensor([[0.0]]), torch.tensor([[math.log(2)]]))
    assert nll.item() == pytest.approx(1 / 8 + math.log(2) + math.log(2 * math.pi) / 2)


@pytest.mark.parametrize("term", ["code", "continuous"])
@pytest.mark.parametrize("share", [True, False])
def test_both_players_get_the_gradient_of_the_codes(term: str, share: bool) -> None:
    system = make(share_fakes=share)
    for turn in system.turns(0):
        weights = list(system.players()[turn.player].parameters())
        gradients = torch.autograd.grad(turn.objective(BATCH).terms[term], weights, allow_unused=True)
        assert any(gradient is not None and gradient.abs().sum() > 0 for gradient in gradients)


def test_labels_pick_the_discrete_code_and_keep_the_rest() -> None:
    system = make()
    torch.manual_seed(1)
    all_codes = system.draw(10)["latent"]
    torch.manual_seed(1)
    picked = system.draw(10, [3, 7])["latent"]
    assert all_codes[:, 5:15].argmax(1).tolist() == list(range(10))
    assert picked[:, 5:15].argmax(1).tolist() == [3] * 5 + [7] * 5
    assert (picked[:, 5:15].sum(1) == 1).all()
    assert torch.equal(picked[:, :5], all_codes[:, :5])
    assert torch.equal(picked[:, 15:], all_codes[:, 15:])


def test_only_the_noise_is_truncated() -> None:
    system = make()
    drawn = system.draw(40)
    cut = system.truncated(drawn, 0.3)["latent"]
    assert cut[:, :5].abs().max() <= 0.3 < drawn["latent"][:, :5].abs().max()
    assert torch.equal(cut[:, 5:], drawn["latent"][:, 5:])


def test_what_cannot_be_read_is_refused() -> None:
    with pytest.raises(ValueError, match=r"labels=.*10.*the values 0 to 9"):
        make().draw(4, [10])
    with pytest.raises(ValueError, match="InfoGAN needs codes"):
        make(Normal(17))
    with pytest.raises(ValueError, match="codes=1"):
        Coded(5, 1)
