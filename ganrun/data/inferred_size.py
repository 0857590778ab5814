"""Which size pictures are brought to when nobody says, and the line that tells so (no torch here)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from math import log2
from statistics import median, median_low

LARGEST_FOUND = 256  # a side that is taken as it is; above it the usual size is quick enough to begin with
USUAL_SIZE = 64
ALIKE = 8  # proportions are of one kind when eight times their logarithm rounds to the same number

Sides = tuple[int, int]  # height, width

CHOSEN: dict[Hashable, tuple[Sides, str]] = {}  # what was asked of this process: the size, and the line about it


def infer_size(sizes: Sequence[Sides]) -> Sides:
    """(height, width) of some pictures -> that to which all are brought.

    Their own, where they have one and it is no larger than 256; else their median short side and the proportions of
    most, a square where no kind of proportions has more than half. Of larger ones the short side becomes 64. Both
    sides are rounded down to what the networks here can make: from 8 px on, 4 to 7 times a power of two for the short
    side, and whole steps of that power for the long one: 100 -> 96, [218, 178] -> [192, 160].
    """
    if not sizes:
        return USUAL_SIZE, USUAL_SIZE
    short, ratio = median_low(map(min, sizes)), most_common_ratio(sizes)
    tall, wide = (short / ratio, short) if ratio < 1 else (short, short * ratio)
    if max(round(tall), round(wide)) > LARGEST_FOUND:
        tall, wide = (min(side * min(1, USUAL_SIZE / short), LARGEST_FOUND) for side in (tall, wide))
    step = 1 << max(0, min(round(tall), round(wide)).bit_length() - 3)
    return round(tall) // step * step, round(wide) // step * step


def most_common_ratio(sizes: Sequence[Sides]) -> float:
    """Width by height of most; 1 where there is no such majority."""
    if len(set(sizes)) == 1:
        return sizes[0][1] / sizes[0][0]
    ratios = [width / height for height, width in sizes]
    kind, count = Counter(kind_of(ratio) for ratio in ratios).most_common(1)[0]
    return median(ratio for ratio in ratios if kind_of(ratio) == kind) if 2 * count > len(ratios) else 1.0


def kind_of(ratio: float) -> int:
    return round(ALIKE * log2(ratio))


def as_setting(size: Sides) -> int | list[int]:
    """What a config says: 64, or [height, width]."""
    return size[0] if size[0] == size[1] else list(size)


def remember(key: Hashable, sizes: Sequence[Sides], size: Sides) -> None:
    """Keep the line about pictures that are brought to another size than their own."""
    seen = sorted(set(sizes), key=lambda sides: (min(sides), sides))
    if seen in ([], [size]):
        CHOSEN.pop(key, None)
        return
    what = height_by_width(seen[0]) if len(seen) == 1 else f"{height_by_width(seen[0])} to {height_by_width(seen[-1])}"
    if max(map(max, seen)) > LARGEST_FOUND:
        why = "small to begin with"
    elif len(seen) > 1:
        why = "the median short side and the most common proportions"
    else:
        why = "the next smaller size that the networks can make"
    setting = str(as_setting(size)).replace(" ", "")
    CHOSEN[key] = (
        size,
        f"pictures of {what} are brought to {height_by_width(size)} (height×width), {why}: "
        + (f"dataset.image_size={setting} unless you say otherwise"),
    )


def height_by_width(size: Sides) -> str:
    return f"{size[0]}×{size[1]}"


def line_about(key: Hashable, size: Sides) -> str | None:
    """The line, when this process found out the size and the pictures are brought to it."""
    found, line = CHOSEN.get(key, ((0, 0), ""))
    return line if found == size else None
