"""SRResNet: a bicubic enlargement and what is added to it."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ganrun.networks.srresnet import SRResNet


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("size", [(8, 8), (7, 5), (1, 1)])
def test_any_size_becomes_so_many_times_larger(scale, size):
    drawn = SRResNet(3, scale, 4, blocks=1)(torch.randn(2, 3, *size))
    assert drawn.shape == (2, 3, scale * size[0], scale * size[1])
    assert drawn.abs().max() <= 1


def test_a_network_that_adds_nothing_is_bicubic():
    network = SRResNet(1, 2, 4, blocks=1)
    nn.init.zeros_(network.last[-1].weight)
    images = torch.rand(1, 1, 6, 6) - 0.5
    torch.testing.assert_close(network(images), F.interpolate(images, scale_factor=2, mode="bicubic"))


def test_another_scale_is_refused():
    with pytest.raises(ValueError, match="2 or 4"):
        SRResNet(1, 3)
