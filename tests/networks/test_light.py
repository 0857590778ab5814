"""Light: it begins as the bicubic enlargement."""

import pytest
import torch
import torch.nn.functional as F

from ganrun.networks.light import Light


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [(6, 4), (1, 1)])
def test_a_new_network_is_bicubic_and_learns(scale, size) -> None:
    network, images = Light(3, scale, 4, blocks=1), torch.rand(2, 3, *size) - 0.5
    drawn = network(images)
    expected = F.interpolate(images, scale_factor=scale, mode="bicubic") if scale > 1 else images
    torch.testing.assert_close(drawn, expected)
    drawn.square().mean().backward()
    assert network.last.weight.grad.any()
