import pytest

from ganrun.networks.sizes import as_size, cells, require


def test_one_number_is_a_square_and_two_are_height_and_width():
    assert as_size(28) == (28, 28)
    assert as_size([24, 40]) == (24, 40)


@pytest.mark.parametrize("size", [0, -4, [], [8], [8, 0], [8, 8, 3], "28", 28.5, None])
def test_what_is_no_size_is_refused_in_one_line(size):
    with pytest.raises(ValueError, match=r"^image_size=.* must be one side or \[height, width\] in whole pixels$"):
        as_size(size)


def test_cells_count_whole_cells():
    assert cells([24, 40], 8, "Net") == (3, 5)


@pytest.mark.parametrize(
    ("size", "message"),
    [
        (30, "image_size=30: Net needs sides divisible by 8; nearest: 24 or 32 (dataset.image_size=24)"),
        (3, "image_size=3: Net needs sides divisible by 8; nearest: 8 (dataset.image_size=8)"),
        (
            [32, 33],
            "image_size=[32, 33]: Net needs sides divisible by 8; nearest: 32 or [32, 40] (dataset.image_size=32)",
        ),
        (
            [30, 41],
            "image_size=[30, 41]: Net needs sides divisible by 8; nearest: [24, 40] or [32, 48] "
            "(dataset.image_size=[24,40])",
        ),
    ],
)
def test_a_refusal_names_the_value_the_rule_and_the_nearest_sizes(size, message):
    with pytest.raises(ValueError, match="image_size") as refusal:
        cells(size, 8, "Net")
    assert str(refusal.value) == message


def test_a_square_is_answered_with_squares():
    with pytest.raises(ValueError, match=r"nearest: 10 \(dataset.image_size=10\)$"):
        require((9, 9), lambda h, w: h == 10, "ten rows")
