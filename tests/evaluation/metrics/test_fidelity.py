"""fidelity: numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from ganrun.evaluation.metrics.fidelity import psnr, ssim


def flat(value: float, side: int = 16) -> torch.Tensor:
    """A picture of one grey, given on the 0–255 scale."""
    return torch.full((1, 3, side, side), value / 127.5 - 1)


def test_psnr_of_an_error_of_one_level_in_255() -> None:
    assert psnr(flat(100), flat(101)).item() == pytest.approx(20 * math.log10(255), abs=1e-4)  # 48.13 dB
    assert psnr(torch.cat([flat(100), flat(50)]), torch.cat([flat(110), flat(50)])).tolist() == [
        pytest.approx(20 * math.log10(25.5), abs=1e-4), math.inf,
    ]  # fmt: skip


def test_ssim_of_flat_pictures_is_the_luminance_term_alone() -> None:
    c1 = (0.01 * 255) ** 2
    by_hand = (2 * 100 * 120 + c1) / (100**2 + 120**2 + c1)
    assert ssim(flat(100), flat(120)).item() == pytest.approx(by_hand, abs=1e-6)


def test_ssim_of_a_picture_and_its_contrast_halved_about_the_mean() -> None:
    """One window, the pixel in its middle 255 on black: E x = 255 w, E x² = 255² w, w the window's middle weight."""
    x = torch.full((1, 1, 11, 11), -1.0)
    x[0, 0, 5, 5] = 1.0
    y = torch.full((1, 1, 11, 11), -1.0)
    y[0, 0, 5, 5] = 0.0  # 127.5
    w = (1 / sum(math.exp(-(i**2) / 4.5) for i in range(-5, 6))) ** 2
    mx, my, c1, c2 = 255 * w, 127.5 * w, 2.55**2, 7.65**2
    vx, vy, cov = 255**2 * w - mx**2, 127.5**2 * w - my**2, 255 * 127.5 * w - mx * my
    by_hand = (2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
    assert ssim(x, y).item() == pytest.approx(by_hand, rel=1e-9)


def test_ssim_of_a_picture_with_itself_is_one_and_of_its_negative_is_below_zero() -> None:
    torch.manual_seed(0)
    x = torch.rand(2, 3, 20, 24) * 2 - 1
    assert ssim(x, x).tolist() == pytest.approx([1, 1])
    assert (ssim(x, -x) < 0).all()


def test_a_picture_smaller_than_a_window_is_refused() -> None:
    with pytest.raises(ValueError, match="11×11"):
        ssim(flat(1, 10), flat(1, 10))
