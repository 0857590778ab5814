"""The base class: limits, sizes, and the promise about classes."""

import pytest
import torch

from ganrun.data.dataset import Dataset, as_size, chosen


def test_a_limit_draws_the_same_random_subset_every_time():
    first, again = chosen(100, 10), chosen(100, 10)
    assert first.tolist() == again.tolist() == sorted(set(first.tolist()))
    assert first[-1] >= 50  # not just the first ten


def test_a_limit_is_the_most_not_the_least():
    assert chosen(4, 9).tolist() == [0, 1, 2, 3]


def test_no_limit_keeps_everything_in_order():
    assert chosen(4, None).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_that_no_subset_has_is_named(limit):
    with pytest.raises(ValueError, match=rf"dataset\.limit={limit} .* 4 images"):
        chosen(4, limit)


def test_sizes_are_height_first():
    assert as_size(28) == (28, 28)
    assert as_size([28, 32]) == (28, 32)


@pytest.mark.parametrize("size", [0, -3, [1, 2, 3], [8], [8.5, 8]])
def test_a_size_that_is_none_is_named(size):
    with pytest.raises(ValueError, match=r"dataset\.image_size="):
        as_size(size)


def test_classes_that_the_config_promised_must_be_there():
    images = torch.zeros(2, 1, 4, 4, dtype=torch.uint8)
    labels = torch.tensor([0, 1])
    assert Dataset(images, labels, ["a", "b"], classes=2).classes == 2
    with pytest.raises(ValueError, match=r"dataset\.classes=3, but the images have 2"):
        Dataset(images, labels, ["a", "b"], classes=3)
    with pytest.raises(ValueError, match=r"dataset\.classes=2, but the images have 0"):
        Dataset(images, classes=2)
