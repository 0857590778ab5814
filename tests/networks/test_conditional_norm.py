"""Conditional BatchNorm: for one class it is BatchNorm with that class's gain and bias."""

import pytest
import torch
from torch import nn

from ganrun.networks.conditional_norm import ConditionalBatchNorm2d
from ganrun.networks.synced import SyncedBatchNorm, synchronise_


def test_for_one_class_it_is_batchnorm_with_the_gain_and_bias_of_that_class():
    torch.manual_seed(0)
    norm, plain = ConditionalBatchNorm2d(4, classes=3), nn.BatchNorm2d(4)
    nn.init.normal_(norm.gain.weight)
    nn.init.normal_(norm.bias.weight)
    plain.weight.data, plain.bias.data = 1 + norm.gain.weight[1].detach(), norm.bias.weight[1].detach()
    for _ in range(2):  # the second time with running statistics
        features = 3 * torch.randn(5, 4, 2, 2) + 1
        torch.testing.assert_close(norm(features, torch.ones(5, dtype=torch.long)), plain(features))
        norm, plain = norm.eval(), plain.eval()


def test_each_image_gets_the_gain_and_bias_of_its_own_class():
    norm = ConditionalBatchNorm2d(1, classes=2).eval()
    norm.gain.weight.data, norm.bias.weight.data = torch.tensor([[0.0], [2.0]]), torch.tensor([[10.0], [20.0]])
    features = torch.ones(2, 1, 1, 1)
    torch.testing.assert_close(norm(features, torch.tensor([1, 0])).flatten(), torch.tensor([23.0, 11.0]))


def test_a_vector_is_multiplied_by_one_matrix_for_the_gain_and_one_for_the_bias():
    norm = ConditionalBatchNorm2d(2, condition_size=3).eval()
    vector, features = torch.randn(4, 3), torch.randn(4, 2, 1, 1)
    gain, bias = vector @ norm.gain.weight.T, vector @ norm.bias.weight.T
    expected = (1 + gain) * features.flatten(1) + bias
    torch.testing.assert_close(norm(features, vector).flatten(1), expected, rtol=1e-4, atol=1e-4)
    assert sum(weight.numel() for weight in norm.parameters()) == 2 * 3 * 2


@pytest.mark.parametrize("sizes", [{}, {"classes": 2, "condition_size": 3}])
def test_it_is_conditioned_on_one_thing(sizes):
    with pytest.raises(ValueError, match="conditional BatchNorm needs one of them above 0"):
        ConditionalBatchNorm2d(4, **sizes)


def test_ranks_share_its_statistics_where_they_are_synchronised():
    norm = ConditionalBatchNorm2d(4, classes=3)
    synchronise_(norm)
    assert isinstance(norm.normalise, SyncedBatchNorm)
