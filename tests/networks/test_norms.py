import pytest
import torch
from torch import nn

from ganrun.networks.norms import NORMS, find_norm


@pytest.mark.parametrize("name", NORMS)
def test_every_norm_keeps_the_shape(name):
    assert find_norm(name).layer(6)(torch.randn(2, 6, 4, 4)).shape == (2, 6, 4, 4)


def test_an_unknown_norm_is_answered_with_the_known_ones():
    with pytest.raises(ValueError, match="norm='bach' is none of: batch, instance, layer, none, spectral"):
        find_norm("bach")


def test_instance_norm_sees_one_channel_of_one_image_and_layer_norm_one_image():
    images = torch.randn(3, 4, 8, 8) * torch.arange(1, 5).view(1, 4, 1, 1) + 5
    instance, layer = NORMS["instance"].layer(4)(images), NORMS["layer"].layer(4)(images)
    torch.testing.assert_close(instance.mean((2, 3)), torch.zeros(3, 4), atol=1e-5, rtol=0)
    torch.testing.assert_close(layer.mean((1, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    assert layer.mean((2, 3)).abs().max() > 0.01
    assert all(NORMS[name].layer(4).weight.requires_grad for name in ("instance", "layer"))


def test_only_a_norm_layer_makes_the_bias_before_it_useless():
    assert [name for name, norm in NORMS.items() if norm.bias] == ["none", "spectral"]


def test_spectral_norm_bounds_the_largest_singular_value_of_every_weight_by_one():
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(72, 5))
    for weight in (network[0].weight, network[2].weight):
        nn.init.normal_(weight, 0, 10)
    NORMS["spectral"].bound_(network)
    for weight in (network[0].weight, network[2].weight):
        assert torch.linalg.matrix_norm(weight.flatten(1), 2).item() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("name", ["batch", "instance", "layer", "none"])
def test_the_other_norms_leave_weights_alone(name):
    network = nn.Conv2d(3, 8, 3)
    before = network.weight.clone()
    NORMS[name].bound_(network)
    assert torch.equal(network.weight, before)
    assert list(network.state_dict()) == ["weight", "bias"]
