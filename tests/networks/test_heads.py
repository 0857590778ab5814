"""Heads of their own depth: what is linear, what is hidden, and that old checkpoints find their weights."""

from __future__ import annotations

import pytest
import torch

from ganrun.networks.dcgan import DCGANDiscriminator
from ganrun.networks.norms import NORMS


def make(norm: str = "batch", widths: tuple[int, ...] = (5,), heads: int = 4) -> DCGANDiscriminator:
    torch.manual_seed(0)
    return DCGANDiscriminator(1, 16, base_channels=2, norm=norm, heads=heads, head_widths=widths)


def test_the_first_logit_is_linear_and_the_others_are_not() -> None:
    discriminator = make().eval()
    last = discriminator.layers[-1]
    assert last(torch.randn(3, 4, 4, 4)).flatten(1).shape == (3, 4)
    features = torch.randn(3, 4, 4, 4)
    at_zero = last(torch.zeros_like(features))
    bent = last(features) - at_zero + (last(-features) - at_zero)  # 0 where the map is affine
    assert torch.allclose(bent[:, 0], torch.zeros(3, 1, 1), atol=1e-6)
    assert bent[:, 1:].abs().max() > 1e-3


def test_the_parameters_are_those_counted_by_hand() -> None:
    more = {widths: sum(p.numel() for p in make(widths=widths).parameters()) for widths in [(), (5,), (5, 7)]}
    linear = 4 * (4 * 16 + 1)  # 4 heads on 4 channels of 4×4
    q = 4 * 16 * 5 + 2 * 5  # FC 5 without a bias, BatchNorm
    assert more[5,] - more[()] == (4 * 16 + 1) + q + 3 * (5 + 1) - linear
    assert more[5, 7] - more[5,] == 5 * 7 + 2 * 7 + 3 * (7 - 5)


def test_without_widths_the_weights_are_called_as_ever() -> None:
    names = list(make(widths=()).state_dict())
    assert names[-2:] == ["layers.5.weight", "layers.5.bias"]
    assert names == list(DCGANDiscriminator(1, 16, base_channels=2, heads=4).state_dict())


@pytest.mark.parametrize("norm", sorted(NORMS))
def test_every_norm_lets_every_head_learn(norm: str) -> None:
    discriminator = make(norm)
    outputs = discriminator(torch.randn(6, 1, 16, 16))
    assert (outputs.std(0) > 0).all(), "a norm that makes all images the same"
    outputs.square().sum().backward()
    assert all(weight.grad is not None and weight.grad.any() for weight in discriminator.parameters())


def test_widths_without_further_heads_are_refused() -> None:
    with pytest.raises(
        ValueError, match=r"head_widths=\[5\] are for further outputs, but heads=1: use heads=2 or more"
    ):
        make(heads=1)
