"""Image pool: what comes back, and what is kept."""

from __future__ import annotations

import copy

import pytest
import torch

from ganrun.systems.pool import ImagePool
from tests.systems.pictures import flat


def numbers(images) -> list[float]:
    return images[:, 0, 0, 0].tolist()


def test_until_it_is_full_the_pool_stores_and_hands_back_what_is_new() -> None:
    pool = ImagePool(4, 1, 4)
    assert numbers(pool.swap(flat(1, 2, 3))) == [1, 2, 3]
    assert numbers(pool.stored) == [1, 2, 3, 0]


def test_then_each_image_comes_back_or_takes_the_place_of_one_that_does() -> None:
    """Nothing is lost and nothing doubled: what went in is what came out and what is kept."""
    torch.manual_seed(0)
    pool, back = ImagePool(5, 1, 4), []
    for first in range(0, 60, 3):
        back += numbers(pool.swap(flat(*map(float, range(first + 1, first + 4)))))
    fresh = list(map(float, range(1, 61)))
    # the first five are handed back and kept as well
    assert sorted(back + numbers(pool.stored)) == sorted(fresh + fresh[:5])


def test_about_half_of_the_images_are_exchanged() -> None:
    torch.manual_seed(0)
    pool, old = ImagePool(50, 1, 1), 0
    for number in range(100):
        new = flat(*[float(number)] * 20, size=(1, 1))
        old += sum(value != number for value in numbers(pool.swap(new)))
    assert 0.45 < old / (100 * 20 - 50) < 0.55


def test_a_batch_larger_than_the_pool_goes_through_in_parts() -> None:
    pool = ImagePool(2, 1, 4)
    assert len(pool.swap(flat(1, 2, 3, 4, 5))) == 5
    assert pool.seen.item() == 5


def test_a_pool_of_none_hands_everything_back() -> None:
    assert numbers(ImagePool(0, 1, 4).swap(flat(1, 2))) == [1, 2]


def test_a_saved_pool_goes_on_as_the_unbroken_one() -> None:
    torch.manual_seed(0)
    pool = ImagePool(3, 1, 4)
    pool.swap(flat(1, 2, 3, 4))
    other = ImagePool(3, 1, 4)
    other.load_state_dict(copy.deepcopy(pool.state_dict()))
    answers = []
    for each in (pool, other):
        torch.manual_seed(1)
        answers.append(numbers(each.swap(flat(5, 6, 7))))
    assert answers[0] == answers[1]
    assert torch.equal(pool.stored, other.stored)


def test_a_negative_size_is_refused() -> None:
    with pytest.raises(ValueError, match="pool_size=-1"):
        ImagePool(-1, 1, 4)
