"""Path length regularization, by hand on a generator that is linear."""

from __future__ import annotations

import math

import pytest
import torch

from ganrun.losses.path_length import PathLength, path_lengths

SIDE = 4


def linear(styles: torch.Tensor) -> torch.Tensor:
    """image = 3 · (first style of the first layer) at one pixel: |J_wᵀ y| = 3 |y| there."""
    images = torch.zeros(len(styles), 1, SIDE, SIDE)
    images[:, 0, 0, 0] = 3 * styles[:, 0, 0]
    return images


def test_the_length_of_a_linear_generator_is_that_of_its_matrix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "randn_like", lambda images: torch.full_like(images, 2.0))
    lengths = path_lengths(linear, torch.randn(5, 2, 3, requires_grad=True))
    # y = 2 over √(H·W) = 4; squares are the mean of two layers, one of which does nothing
    torch.testing.assert_close(lengths, torch.full((5,), 3 * 2 / 4 / math.sqrt(2)), atol=1e-6, rtol=0)


def test_the_term_is_the_squared_distance_to_the_running_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "randn_like", lambda images: torch.full_like(images, 2.0))
    loss, length = PathLength(weight=2, every=4, decay=0.9), 1.5
    for mean in (0.1 * length, 0.19 * length):  # from 0, a tenth of the way each time
        path = loss(linear, torch.randn(5, 1, 3, requires_grad=True))
        assert path.length.item() == pytest.approx(length, abs=1e-6)
        assert loss.average.item() == pytest.approx(mean, abs=1e-6)
        assert path.term.item() == pytest.approx(2 * 4 * (length - mean) ** 2, abs=1e-5)


def test_it_acts_at_every_fourth_turn_on_half_of_the_batch_and_never_with_no_weight() -> None:
    assert [turn for turn in range(9) if PathLength().active(turn)] == [0, 4, 8]
    assert not any(PathLength(weight=0).active(turn) for turn in range(9))
    assert [PathLength().count(images) for images in (1, 7, 64)] == [1, 4, 32]
