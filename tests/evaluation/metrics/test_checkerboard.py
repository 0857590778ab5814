"""Checkerboard: a pattern that is laid over noise is found at its period, and a network's own way back draws one."""

from __future__ import annotations

import pytest
import torch

from ganrun.evaluation.metrics.checkerboard import checkerboard
from ganrun.networks.resnet import ResNetTranslator
from ganrun.networks.unet import UNetGenerator


def noise() -> torch.Tensor:
    return torch.randn(16, 1, 64, 96, generator=torch.Generator().manual_seed(0))


def pattern(period: int) -> torch.Tensor:
    """(1, 1, 64, 96): ones on every `period`-th column."""
    return (torch.arange(96) % period == 0).float().expand(1, 1, 64, 96)


def test_noise_has_no_period() -> None:
    assert all(0.5 < checkerboard(noise(), period) < 2 for period in (2, 4))


def test_a_pattern_stands_out_at_its_own_period() -> None:
    """Columns of height h over noise of variance 1: at period 2 the energy of the bin is 1 + h²/4 · (Σw)² / Σw²."""
    found = checkerboard(noise() + 0.1 * pattern(2))
    sums = (64 / 2 * 96 / 2) ** 2 / (64 * 3 / 8 * 96 * 3 / 8)  # of a Hann window and of its square
    assert found == pytest.approx(1 + 0.1**2 / 4 * sums, rel=0.4)
    assert checkerboard(noise() + pattern(4), 4) > 50
    assert checkerboard(noise() + pattern(2), 4) < 2, "it repeats more often"
    assert checkerboard(noise().repeat(1, 3, 1, 1)) == pytest.approx(checkerboard(noise()))


def test_a_side_that_holds_no_whole_periods_is_refused() -> None:
    with pytest.raises(ValueError, match="multiples of it and at least 64, not 64×66"):
        checkerboard(torch.zeros(1, 1, 64, 66), 4)
    with pytest.raises(ValueError, match="not 64×96"):
        checkerboard(torch.zeros(1, 1, 64, 96), 8)


@pytest.mark.parametrize("make", [ResNetTranslator, UNetGenerator])
def test_the_resize_way_back_draws_none_where_the_transposed_one_does(make) -> None:
    torch.manual_seed(0)
    found = {}
    for upsample in ("transposed", "resize"):
        options = {"dropout": 0.0, "levels": 2, "norm": "instance"} if make is UNetGenerator else {"blocks": 1}
        network = make(1, 64, 8, upsample=upsample, **options).eval()
        with torch.no_grad():
            found[upsample] = checkerboard(network(noise()[:, :, :, :64].cumsum(3) / 8))
    assert found["resize"] < found["transposed"] / 3, found
