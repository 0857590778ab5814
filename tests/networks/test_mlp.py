import torch
from torch import nn

from ganrun.networks.mlp import DeepMLPDiscriminator, MLPDiscriminator, MLPGenerator


def count(network):
    return sum(weight.numel() for weight in network.parameters() if weight.requires_grad)


def test_the_tutorial_pair_has_its_published_sizes():
    assert count(MLPGenerator(100, 1, 28)) == 1_486_352
    assert count(MLPDiscriminator(1, 28)) == 533_505


def test_the_second_widths_have_their_published_sizes():
    assert count(MLPGenerator(100, 1, 28, widths=[128, 256, 512], leak=0.2)) == 579_728
    assert count(MLPDiscriminator(1, 28, widths=[512, 256, 128])) == 566_273


def test_leak_is_the_slope_below_zero_and_none_is_a_relu():
    assert isinstance(MLPGenerator(4, 1, 2).layers[1], nn.ReLU)
    assert MLPGenerator(4, 1, 2, leak=0.2).layers[1].negative_slope == 0.2
    assert MLPDiscriminator(1, 2, leak=0.3).layers[2].negative_slope == 0.3


def test_without_bias_only_the_logit_has_one():
    network = MLPDiscriminator(1, 4, widths=[8, 4], bias=False)
    assert [m.bias is not None for m in network.modules() if isinstance(m, nn.Linear)] == [False, False, True]


def test_a_linear_discriminator_is_a_dot_product():
    network = MLPDiscriminator(1, [2, 3], widths=[])
    images = torch.randn(4, 1, 2, 3)
    torch.testing.assert_close(
        network(images), images.flatten(1) @ network.layers[-1].weight[0] + network.layers[-1].bias
    )


def test_ten_layers_still_tell_images_apart_at_the_start():
    torch.manual_seed(0)
    images = torch.rand(32, 1, 32, 32) * 2 - 1
    assert DeepMLPDiscriminator(1, 32)(images).std() > 0.01
    widths = [1024, 512, 256, 128, 64, 32, 16, 8, 4, 2]
    assert MLPDiscriminator(1, 32, widths, leak=0.3, bias=False)(images).std() < 0.001  # why the class exists
