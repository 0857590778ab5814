import pytest
import torch
from torch import nn

from ganrun.networks.init import init_glorot_, init_normal_


@pytest.fixture
def network():
    return nn.Sequential(nn.Conv2d(16, 64, 4), nn.BatchNorm2d(64), nn.ConvTranspose2d(64, 16, 4), nn.Linear(400, 200))


def test_normal_weights_have_the_asked_spread_and_biases_are_zero(network):
    init_normal_(network, std=0.05)
    convolution, norm, transposed, dense = network
    for weight in (convolution.weight, transposed.weight, dense.weight):
        assert weight.std().item() == pytest.approx(0.05, rel=0.03)
        assert weight.mean().item() == pytest.approx(0, abs=0.002)
    assert norm.weight.mean().item() == pytest.approx(1, abs=0.03)
    assert norm.weight.std().item() == pytest.approx(0.05, rel=0.4)
    assert all(not module.bias.any() for module in network)


def test_glorot_weights_fill_their_interval_and_norms_stay_at_one(network):
    init_glorot_(network)
    convolution, norm, _, dense = network
    assert dense.weight.abs().max().item() == pytest.approx((6 / 600) ** 0.5, rel=0.01)
    assert convolution.weight.abs().max().item() == pytest.approx((6 / (16 * 80)) ** 0.5, rel=0.01)
    assert torch.equal(norm.weight, torch.ones(64))
    assert not dense.bias.any()
