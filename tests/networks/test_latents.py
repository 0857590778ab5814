import pytest
import torch

from ganrun.networks.latents import Latent, Normal, Uniform


def test_normal_latents_have_mean_zero_and_spread_one():
    torch.manual_seed(0)
    latents = Normal(100).sample(1000, "cpu")
    assert latents.shape == (1000, 100)
    assert latents.mean().item() == pytest.approx(0, abs=0.01)
    assert latents.std().item() == pytest.approx(1, abs=0.01)


def test_uniform_latents_fill_their_interval():
    torch.manual_seed(0)
    latents = Uniform(100).sample(1000, torch.device("cpu"))
    assert latents.shape == (1000, 100)
    assert -1 <= latents.min() < -0.999
    assert 0.999 < latents.max() <= 1
    assert latents.var().item() == pytest.approx(1 / 3, abs=0.01)
    assert Uniform(3, low=2, high=2.5).sample(50, "cpu").min() >= 2


@pytest.mark.parametrize("latent", [Normal(7), Uniform(7)])
def test_latents_repeat_with_the_seed_and_carry_no_state(latent: Latent):
    torch.manual_seed(1)
    first = latent.sample(5, "cpu")
    torch.manual_seed(1)
    assert torch.equal(latent.sample(5, "cpu"), first)
    assert latent.size == 7
    assert not latent.state_dict()
    assert latent.sample(5, "meta").device.type == "meta"


def test_impossible_latents_are_refused():
    with pytest.raises(ValueError, match="latent size=0"):
        Normal(0)
    with pytest.raises(ValueError, match="latent low=1 must be below high=1"):
        Uniform(3, low=1, high=1)
