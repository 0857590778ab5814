"""The digits inside the package."""

import pytest
import torch

from ganrun.data.digits import DIGITS, Digits


def test_all_1797_digits_are_there_with_their_labels():
    digits = Digits()
    assert digits.images.shape == (1797, 1, 16, 16)
    assert digits.labels.dtype == torch.int64
    assert digits.labels.bincount().tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]  # UCI's counts
    assert digits.class_names == list("0123456789")


def test_the_packed_file_stays_small():
    assert DIGITS.stat().st_size <= 45 * 1024


def test_ink_is_bright_and_uses_the_whole_range():
    digits = Digits(image_size=8)
    assert digits.images.min() == 0
    assert digits.images.max() == 255
    assert digits.images[0, 0, 0].tolist() == [0, 0, 80, 207, 143, 16, 0, 0]  # 0 0 5 13 9 1 0 0 of 16


def test_size_colour_and_limit_can_be_chosen():
    digits = Digits(image_size=[12, 10], channels=3, limit=50)
    assert digits.images.shape == (50, 3, 12, 10)
    assert torch.equal(digits.images[:, 0], digits.images[:, 2])
    assert len(digits.labels.unique()) > 5


def test_the_halves_are_apart_and_together_all():
    train, test, everything = (Digits(split=split, image_size=8) for split in ("train", "test", "all"))
    assert (len(train), len(test)) == (898, 899)
    assert torch.equal(torch.cat([train.images, test.images]), everything.images)
    assert torch.equal(torch.cat([train.labels, test.labels]), everything.labels)
    with pytest.raises(ValueError, match="train, test, all"):
        Digits(split="valid")
