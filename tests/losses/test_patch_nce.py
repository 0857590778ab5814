"""PatchNCE against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from ganrun.losses.patch_nce import patch_nce


def test_a_patch_is_told_from_the_others_of_its_own_image() -> None:
    """v·v⁺ is 1 and v·v⁻ is 0: ℓ = log(1 + (S − 1) e^{−1/τ}). Another image of the batch is no negative."""
    axes = torch.eye(3).expand(2, 3, 3)
    assert patch_nce(axes, axes, 0.5).item() == pytest.approx(math.log(1 + 2 * math.exp(-2)))
    turned = axes.roll(1, dims=1)  # v·v⁺ is 0, and one of the negatives is 1
    assert patch_nce(axes, turned, 0.5).item() == pytest.approx(math.log(2 + math.exp(2)))


def test_patches_that_are_all_alike_cost_what_guessing_costs() -> None:
    alike = torch.nn.functional.normalize(torch.ones(1, 256, 4), dim=2)
    assert patch_nce(alike, alike, 0.07).item() == pytest.approx(math.log(256), rel=1e-4)


def test_no_gradient_reaches_the_input() -> None:
    queries, keys = (torch.randn(1, 4, 2, requires_grad=True) for _ in range(2))
    patch_nce(queries, keys, 0.07).backward()
    assert queries.grad is not None
    assert keys.grad is None
