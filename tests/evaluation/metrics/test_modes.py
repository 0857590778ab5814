"""The modes that samples cover, by hand."""

from __future__ import annotations

import math

import pytest
import torch

from ganrun.evaluation.metrics.modes import modes_covered


def test_even_samples_have_no_divergence_and_one_mode_has_the_log_of_their_number() -> None:
    assert modes_covered(torch.arange(4), None, 4) == {"modes": 4, "reverse_kl": pytest.approx(0, abs=1e-12)}
    one = modes_covered(torch.zeros(9, dtype=torch.int64), None, 4)
    assert one == {"modes": 1, "reverse_kl": pytest.approx(math.log(4))}


def test_only_good_samples_cover_a_mode() -> None:
    """Shares 3/4 and 1/4 of 4 modes: .75 log 3 + .25 log 1 = .75 log 3."""
    mode, good = torch.tensor([0, 0, 0, 1, 2]), torch.tensor([True, True, True, True, False])
    found = modes_covered(mode, good, 4)
    assert found == {"modes": 2, "high_quality": pytest.approx(0.8), "reverse_kl": pytest.approx(0.75 * math.log(3))}


def test_without_a_good_sample_there_is_no_divergence() -> None:
    assert modes_covered(torch.tensor([0, 1]), torch.tensor([False, False]), 4) == {"modes": 0, "high_quality": 0}
