"""Infers the image size when the user sets none, and writes the line that tells the user. This file has no torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from math import log2
from statistics import median, median_low

LARGEST_FOUND = 256  # the largest side, in pixels, that is inferred; larger pictures are reduced to USUAL_SIZE
USUAL_SIZE = 64  # pixels: small enough for a first run to be quick
ALIKE = 8  # two aspect ratios are of one kind when 8 · log2(ratio) rounds to the same number

Sides = tuple[int, int]  # height, width

CHOSEN: dict[Hashable, tuple[Sides, str]] = {}  # {data set: the size inferred by this process, the line about it}


def infer_size(sizes: Sequence[Sides]) -> Sides:
    """(height, width) of the pictures -> the (height, width) to which all of them are resized, in pixels.

    When all pictures have the same size, it is their own size. Otherwise it has their median short side, and the aspect
    ratio of more than half of them; without such a majority, it is a square. When a side is larger than 256, the short
    side becomes 64. Finally both sides are rounded down to a size that the networks support: from 8 pixels on, the
    short side is 4 to 7 times a power of two, and the long side is a multiple of this power: 100 -> 96,
    [218, 178] -> [192, 160].
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
    """The aspect ratio (width / height) of more than half of the pictures; 1 when there is no such majority."""
    if len(set(sizes)) == 1:
        return sizes[0][1] / sizes[0][0]
    ratios = [width / height for height, width in sizes]
    kind, count = Counter(kind_of(ratio) for ratio in ratios).most_common(1)[0]
    return median(ratio for ratio in ratios if kind_of(ratio) == kind) if 2 * count > len(ratios) else 1.0


def kind_of(ratio: float) -> int:
    """Equal for aspect ratios that are nearly the same."""
    return round(ALIKE * log2(ratio))


def as_setting(size: Sides) -> int | list[int]:
    """The size as a config has it: 64, or [height, width]."""
    return size[0] if size[0] == size[1] else list(size)


def remember(key: Hashable, sizes: Sequence[Sides], size: Sides) -> None:
    """Stores the line about the inferred size, if it differs from the size of a picture.

    key: identifies the data set. sizes: the sizes of its pictures. size: the inferred size.
    """
    seen = sorted(set(sizes), key=lambda sides: (min(sides), sides))
    if seen in ([], [size]):
        CHOSEN.pop(key, None)
        return
    what = height_by_width(seen[0]) if len(seen) == 1 else f"{height_by_width(seen[0])} to {height_by_width(seen[-1])}"
    if max(map(max, seen)) > LARGEST_FOUND:
        why = "a small size for a first run"
    elif len(seen) > 1:
        why = "the median short side and the most common proportions"
    else:
        why = "the next smaller size that the networks can make"
    setting = str(as_setting(size)).replace(" ", "")
    CHOSEN[key] = (
        size,
        f"pictures of {what} are resized to {height_by_width(size)} (height×width), {why}: "
        + (f"dataset.image_size={setting} unless you set another"),
    )


def height_by_width(size: Sides) -> str:
    """(28, 32) -> "28×32"."""
    return f"{size[0]}×{size[1]}"


def line_about(key: Hashable, size: Sides) -> str | None:
    """The line that `remember` stored, if the inferred size is the one in use; otherwise None."""
    found, line = CHOSEN.get(key, ((0, 0), ""))
    return line if found == size else None
