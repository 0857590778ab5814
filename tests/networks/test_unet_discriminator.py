"""U-Net discriminator: one logit for each pixel, and all but its ends bounded."""

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from ganrun.networks.unet_discriminator import UNetDiscriminator


@pytest.mark.parametrize("size", [(16, 16), (13, 9), (1, 1)])
def test_every_pixel_gets_a_logit(size) -> None:
    assert UNetDiscriminator(3, 2)(torch.randn(2, 3, *size)).shape == (2, 1, *size)


def test_all_convolutions_but_the_first_and_the_last_have_a_largest_singular_value_of_one() -> None:
    torch.manual_seed(0)
    network = UNetDiscriminator(1, 4)
    for _ in range(20):
        network(torch.randn(1, 1, 8, 8))
    bounded = [part for part in network.modules() if isinstance(part, nn.Conv2d) and is_parametrized(part)]
    assert len(bounded) == 8
    assert not is_parametrized(network.first)
    assert not is_parametrized(network.last)
    for part in bounded:
        assert torch.linalg.matrix_norm(part.weight.flatten(1), 2).item() == pytest.approx(1, abs=0.02)


def test_a_gradient_penalty_reaches_the_weights() -> None:
    network, images = UNetDiscriminator(1, 2), torch.randn(2, 1, 8, 8, requires_grad=True)
    (gradient,) = torch.autograd.grad(network(images).sum(), images, create_graph=True)
    gradient.square().sum().backward()
    assert network.first.weight.grad.any()


def test_the_papers_widths_have_so_many_parameters() -> None:
    """3×3 to 64; 4×4 to 128, 256, 512; 3×3 to 256, 128, 64, 64, 64 without biases; 3×3 to 1."""
    down = 16 * (64 * 128 + 128 * 256 + 256 * 512)
    up = 9 * (512 * 256 + 256 * 128 + 128 * 64 + 64 * 64 + 64 * 64)
    expected = (9 * 3 + 1) * 64 + down + up + 9 * 64 + 1
    assert sum(weight.numel() for weight in UNetDiscriminator(3).parameters()) == expected == 4_376_897
