"""R1's default gamma."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ganrun.losses.gamma import default_gamma


def test_small_images_get_ten() -> None:
    assert default_gamma(28, 64) == default_gamma(127, 4) == default_gamma([64, 100], 64) == 10.0


def test_large_images_get_their_pixels_over_the_batch() -> None:
    assert default_gamma(128, 64) == pytest.approx(0.0512)
    assert default_gamma(1024, 32) == pytest.approx(6.5536)
    assert default_gamma([128, 512], 32) == pytest.approx(default_gamma(256, 32))


def test_an_empty_batch_is_refused() -> None:
    with pytest.raises(ValueError, match="got 128 and 0"):
        default_gamma(128, 0)


def test_it_costs_no_import_of_torch() -> None:
    check = "import sys, ganrun.losses.gamma; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check]).returncode == 0
