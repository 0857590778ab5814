"""U-Net: depth, bridges, noise, and sizes that it was not trained on."""

import pytest
import torch
from torch import nn

from ganrun.networks.sizes import levels_of_unet
from ganrun.networks.unet import UNetGenerator


def kinds(network, *types):
    return [module for module in network.modules() if isinstance(module, types)]


@pytest.mark.parametrize(
    ("size", "levels"), [(4, 1), (7, 1), (8, 2), (16, 3), (28, 3), (32, 4), (64, 5), ([32, 48], 4), (256, 7), (2048, 8)]
)
def test_without_levels_the_short_side_is_halved_to_two_or_three_pixels_and_at_most_eight_times(size, levels):
    assert levels_of_unet(size) == levels, "checkpoints from before the key `levels` were made by this rule"


@pytest.mark.parametrize(("size", "levels"), [(64, 6), (128, 7), (256, 8), (512, 8), (96, 5), ([64, 100], 6)])
def test_the_papers_network_halves_a_power_of_two_to_one_pixel(size, levels):
    assert levels_of_unet(size, to_one_pixel=True) == levels


@pytest.mark.parametrize("size", [(16, 16), (8, 24), (40, 16)])
def test_a_network_that_halves_to_one_pixel_pads_no_picture_of_whole_strides(size):
    network = UNetGenerator(3, 16, 4, levels=4, dropout=0).eval()
    seen = []
    network.down[0].register_forward_hook(lambda _, images, __: seen.append(images[0].shape[2:]))
    assert network(torch.randn(2, 3, *size)).shape == (2, 3, *size)
    assert seen == [(-(-size[0] // 16) * 16, -(-size[1] // 16) * 16)]


def test_a_side_below_four_is_refused():
    with pytest.raises(ValueError, match="at least 4"):
        UNetGenerator(1, 3)


def test_channels_are_the_papers_at_256():
    with torch.device("meta"):
        network = UNetGenerator(3, 256, levels=8)
    assert [c.out_channels for c in kinds(network, nn.Conv2d)] == [64, 128, 256, 512, 512, 512, 512, 512]
    assert [c.in_channels for c in kinds(network, nn.ConvTranspose2d)] == [512, 1024, 1024, 1024, 1024, 512, 256, 128]
    assert [c.out_channels for c in kinds(network, nn.ConvTranspose2d)] == [512, 512, 512, 512, 256, 128, 64, 3]
    assert len(kinds(network, nn.Dropout)) == 3, "the three innermost levels"
    assert len(kinds(network, nn.BatchNorm2d)) == 6 + 7, "neither at the picture nor at the bottom"


@pytest.mark.parametrize("norm", ["batch", "instance", "none"])
@pytest.mark.parametrize("size", [(16, 16), (17, 16), (5, 31), (1, 1), (40, 24)])
def test_any_size_goes_through_and_comes_back(norm, size):
    network = UNetGenerator(3, 16, 4, norm=norm)
    drawn = network(torch.randn(2, 3, *size))
    assert drawn.shape == (2, 3, *size)
    assert drawn.abs().max() <= 1


def test_padding_changes_nothing_in_a_picture_of_whole_strides():
    network = UNetGenerator(1, 16, 4).eval()
    images = torch.randn(1, 1, 24, 24)
    features, bridges = images, []
    for down in network.down:
        bridges.append(features := down(features))
    bridges.pop()
    for up in network.up:
        features = torch.cat([up(features), bridges.pop()], 1)
    assert torch.equal(network(images), network.last(features))


def test_every_bridge_carries_what_the_bottom_does_not():
    """With the bottom's weights at zero the picture still depends on its input, through each of the two bridges."""
    network = UNetGenerator(1, 16, 4, dropout=0).eval()
    images = torch.randn(1, 1, 16, 16, requires_grad=True)
    nn.init.zeros_(network.down[-1][1].weight)
    (gradient,) = torch.autograd.grad(network(images).sum(), images)
    assert gradient.any()


def test_the_noise_is_in_training_only():
    network, images = UNetGenerator(1, 16, 8), torch.randn(1, 1, 16, 16)
    assert not torch.equal(network(images), network(images))
    network.eval()
    assert torch.equal(network(images), network(images))


def test_a_residual_network_that_draws_nothing_returns_its_input_clipped():
    network = UNetGenerator(1, 8, 4, residual=True).eval()
    nn.init.zeros_(network.last[1].weight)
    images = torch.tensor([-2.0, 0.25, 3.0, 1.0]).view(1, 1, 2, 2)
    assert network(images).flatten().tolist() == [-1.0, 0.25, 1.0, 1.0]


def test_first_weights_have_the_papers_spread():
    for convolution in kinds(UNetGenerator(3, 32, 32), nn.Conv2d, nn.ConvTranspose2d):
        assert convolution.weight.std().item() == pytest.approx(0.02, rel=0.1)
