"""Student's t, against what was worked out by hand and against scipy."""

import math

import pytest

from ganrun.evaluation.metrics.intervals import Interval, gain, interval, t_point


def test_the_interval_of_three_numbers_worked_out_by_hand():
    """1, 2, 3: mean 2, standard deviation 1, t with 2 degrees of freedom 4.303."""
    assert interval([1, 2, 3]) == Interval(2.0, pytest.approx(4.303 / math.sqrt(3)))


def test_a_gain_is_paired_what_moves_both_alike_does_not_widen_it():
    """Differences 1, 1, 4: mean 2, standard deviation √3."""
    assert gain([11, 21, 34], [10, 20, 30]) == Interval(2.0, pytest.approx(4.303))


def test_equal_numbers_leave_no_doubt_and_one_alone_says_nothing_of_it():
    assert interval([0.5, 0.5]) == Interval(0.5, 0.0)
    assert interval([0.5]) == Interval(0.5, None)


@pytest.mark.parametrize("freedom", [*range(1, 41), 100, 10_000])
def test_the_points_are_scipys(freedom):
    stats = pytest.importorskip("scipy.stats")
    assert t_point(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), abs=0.005)


def test_nothing_has_no_mean_and_unequal_lengths_are_no_pairs():
    with pytest.raises(ValueError, match="at least one"):
        interval([])
    with pytest.raises(ValueError, match="zip"):
        gain([1, 2], [1])
    with pytest.raises(ValueError, match="freedom=0"):
        t_point(0)
