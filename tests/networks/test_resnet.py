"""ResNet translator: its blocks, and sizes that it was not trained on."""

import pytest
import torch
from torch import nn

from ganrun.networks.resnet import Block, ResNetTranslator


@pytest.mark.parametrize(
    ("size", "blocks", "widest"), [(16, 6, 128), (64, 6, 256), (128, 6, 256), (256, 9, 256), ([128, 512], 6, 256)]
)
def test_six_blocks_up_to_128_pixels_and_nine_above_after_one_or_two_halvings(size, blocks, widest):
    with torch.device("meta"):
        network = ResNetTranslator(3, size)
    assert sum(isinstance(module, Block) for module in network.modules()) == blocks
    assert max(c.out_channels for c in network.modules() if isinstance(c, nn.Conv2d)) == widest


@pytest.mark.parametrize("size", [(16, 16), (17, 16), (5, 31), (1, 1), (40, 24)])
def test_any_size_goes_through_and_comes_back(size):
    drawn = ResNetTranslator(3, 16, 4, blocks=1)(torch.randn(2, 3, *size))
    assert drawn.shape == (2, 3, *size)
    assert drawn.abs().max() <= 1


def test_no_picture_of_a_batch_changes_another():
    network = ResNetTranslator(1, 16, 4, blocks=1)
    images = torch.randn(2, 1, 16, 16)
    torch.testing.assert_close(network(images)[:1], network(images[:1]))
