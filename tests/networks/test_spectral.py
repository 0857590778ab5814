"""Spectral normalization: σ is the largest singular value."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm as torchs

from ganrun.networks.norms import find_norm
from ganrun.networks.spectral import spectral_norm

LAYERS = {
    "linear": lambda: nn.Linear(5, 7),
    "convolution": lambda: nn.Conv2d(3, 4, 3),
    "transposed": lambda: nn.ConvTranspose2d(3, 4, 3),
    "embedding": lambda: nn.Embedding(10, 6),
}


def matrix(layer, weight):
    return weight.transpose(0, int(isinstance(layer, nn.ConvTranspose2d))).flatten(1)


@pytest.mark.parametrize("name", LAYERS)
def test_a_weight_is_divided_by_its_largest_singular_value(name):
    torch.manual_seed(0)
    layer = LAYERS[name]()
    original = layer.weight.detach().clone()
    spectral_norm(layer)
    for _ in range(50):
        bounded = layer.weight
    sigma = torch.linalg.svdvals(matrix(layer, original))[0]
    torch.testing.assert_close(bounded, original / sigma, rtol=1e-4, atol=1e-5)


def test_the_tables_of_a_network_are_bounded_where_it_is_asked_for():
    network = nn.Sequential(nn.Embedding(10, 6), nn.Linear(6, 2))
    find_norm("spectral").bound_(network, embeddings=True)
    assert torch.linalg.matrix_norm(network[0].weight, 2).item() == pytest.approx(1, abs=0.05)


def test_it_is_that_of_torch_and_opens_its_checkpoints():
    torch.manual_seed(0)
    ours, theirs = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3)
    spectral_norm(ours)
    torchs(theirs)
    ours.load_state_dict(theirs.state_dict())
    for _ in range(3):
        for one, other in zip((ours.weight, ours.weight.sum()), (theirs.weight, theirs.weight.sum()), strict=True):
            torch.testing.assert_close(one, other)


def test_averaged_vectors_that_are_shorter_than_one_do_not_change_the_weight():
    """A weight average averages u and v, too: vectors that turn leave a short mean."""
    torch.manual_seed(0)
    layer = spectral_norm(nn.Linear(5, 7)).eval()
    average = copy.deepcopy(layer)
    norm = average.parametrizations.weight[0]
    norm._u *= 0.3
    norm._v *= 0.3
    torch.testing.assert_close(average.weight, layer.weight)
    torch.testing.assert_close(average.weight, layer.weight)  # looking does not change it


def test_sigma_is_computed_in_float32_under_autocast():
    torch.manual_seed(0)
    layer = spectral_norm(nn.Linear(50, 70)).eval()
    with torch.autocast("cpu", torch.bfloat16):
        under = layer.weight
    assert torch.equal(under, layer.weight)
