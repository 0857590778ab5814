"""OwnFeatures: a distance that learns here; no gradient goes to the targets."""

import pytest
import torch

from ganrun.networks.own_features import OwnFeatures


def test_equal_pictures_have_the_distance_zero_and_the_targets_get_no_gradient() -> None:
    compare = OwnFeatures(3, 4)
    images, targets = torch.rand(2, 3, 9, 7, requires_grad=True), torch.rand(2, 3, 9, 7, requires_grad=True)
    assert compare(images, images).item() == 0
    compare(images, targets).backward()
    assert images.grad.any()
    assert targets.grad is None


def test_opposite_directions_of_one_feature_are_two_apart_and_count_four() -> None:
    """Scaled to the length 1, 3 and -2 are 1 and -1: (1 − (−1))² = 4."""
    compare = OwnFeatures(1, 1, levels=1)
    compare.features = lambda images: [images]  # type: ignore[method-assign]
    assert compare(torch.full((1, 1, 2, 2), 3.0), torch.full((1, 1, 2, 2), -2.0)).item() == pytest.approx(4, abs=1e-4)


@pytest.mark.parametrize("size", [(8, 8), (5, 3), (1, 1)])
def test_it_learns_to_take_noise_off_pictures_of_any_size(size) -> None:
    torch.manual_seed(0)
    network = OwnFeatures(1, 8)
    images = torch.full((8, 1, *size), 0.5)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    losses = []
    for _ in range(30):
        loss = network.learning(images)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 4
    assert all(weight.grad is not None for weight in network.parameters())
