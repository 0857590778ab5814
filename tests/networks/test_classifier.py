"""The classifier: a logit for each class from pictures of any size."""

import pytest
import torch
from torch import nn

from ganrun.networks.classifier import ConvClassifier, halvings


@pytest.mark.parametrize("size", [1, 4, 5, 28, 32, [7, 50]])
@pytest.mark.parametrize("channels", [1, 3])
def test_it_gives_a_logit_for_each_class_at_any_size(size, channels):
    height, width = (size, size) if isinstance(size, int) else size
    logits = ConvClassifier(channels, size, classes=7, base_channels=2)(torch.randn(2, channels, height, width))
    assert logits.shape == (2, 7)


def test_the_depth_follows_the_size():
    assert halvings(28) == [(28, 28), (14, 14), (7, 7), (4, 4)]
    assert halvings([8, 30]) == [(8, 30), (4, 15)]
    assert halvings(3) == [(3, 3)]


def test_channels_double_up_to_the_most():
    network = ConvClassifier(1, 64, 10, base_channels=4, max_channels=10)
    assert [m.out_channels for m in network.modules() if isinstance(m, nn.Conv2d)] == [4, 8, 10, 10, 10]


def test_numbers_below_one_are_refused_by_name():
    with pytest.raises(ValueError, match="base_channels=0"):
        ConvClassifier(1, 8, 10, base_channels=0)
