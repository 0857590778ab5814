"""RRDB: any size is enlarged, a block adds little at first, and ×2 works at a quarter of the output's sides."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ganrun.networks.rrdb import RRDB, DenseBlock


@pytest.mark.parametrize("scale", [1, 2, 4])
@pytest.mark.parametrize("unshuffle", [True, False])
@pytest.mark.parametrize("size", [(8, 8), (7, 5), (1, 1)])
def test_any_size_becomes_so_many_times_larger_and_keeps_its_range(scale, unshuffle, size) -> None:
    network = RRDB(3, scale, 4, blocks=1, unshuffle=unshuffle).eval()
    nn.init.constant_(network.last.bias, 9.0)
    drawn = network(torch.randn(2, 3, *size))
    assert drawn.shape == (2, 3, scale * size[0], scale * size[1])
    assert drawn.abs().max() <= 1


def test_in_training_a_pixel_beyond_the_range_keeps_its_gradient() -> None:
    network = RRDB(1, 2, 4, blocks=1)
    nn.init.constant_(network.last.bias, 9.0)
    F.l1_loss(network(torch.zeros(1, 1, 4, 4)), torch.zeros(1, 1, 8, 8)).backward()
    assert network.last.bias.grad.item() == pytest.approx(1.0)


def test_an_unshuffled_input_is_worked_on_at_half_its_sides() -> None:
    for unshuffle, side in ((True, 4), (False, 8)):
        network, seen = RRDB(1, 2, 4, blocks=1, unshuffle=unshuffle), []
        network.join.register_forward_hook(lambda part, given, made, seen=seen: seen.append(made.shape[2:]))
        network(torch.zeros(1, 1, 8, 8))
        assert seen == [(side, side)]


def test_a_dense_block_adds_a_fifth_of_its_last_convolution() -> None:
    block = DenseBlock(2, 1)
    nn.init.zeros_(block.layers[-1].weight)
    nn.init.constant_(block.layers[-1].bias, 1.0)
    features = torch.randn(1, 2, 3, 3)
    torch.testing.assert_close(block(features), features + 0.2)


def test_another_scale_is_refused() -> None:
    with pytest.raises(ValueError, match="scale=3: RRDB enlarges 1, 2 or 4 times"):
        RRDB(3, 3)
