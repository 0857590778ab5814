"""Any size: padding and its way back."""

import pytest
import torch

from ganrun.networks.anysize import cut_back, missing, padded


@pytest.mark.parametrize(("side", "more"), [(1, 7), (4, 4), (8, 0), (9, 3), (12, 0)])
def test_a_side_becomes_whole_strides_and_two_at_least(side, more):
    assert missing(side, 4) == more


def test_the_picture_goes_on_as_its_mirror():
    row = torch.tensor([1.0, 2, 3, 4, 5, 6]).expand(1, 1, 8, 6)
    assert padded(row, 4)[0, 0, 0].tolist() == [1, 2, 3, 4, 5, 6, 5, 4]


def test_a_picture_too_small_for_a_mirror_goes_on_as_its_last_column():
    row = torch.tensor([1.0, 2, 3]).expand(1, 1, 8, 3)
    assert padded(row, 4)[0, 0, 0].tolist() == [1, 2, 3, 3, 3, 3, 3, 3]


def test_cutting_back_undoes_padding():
    images = torch.randn(2, 3, 11, 5)
    assert torch.equal(cut_back(padded(images, 8), images), images)
