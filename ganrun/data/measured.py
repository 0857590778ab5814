"""Measures pictures by the heads of their files: the height and width of each, before any is decoded. No torch."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from ganrun.common.headers import header_of, is_array, lies_on_its_side, needs_library
from ganrun.common.pictures import open_picture
from ganrun.common.terminal import bar
from ganrun.data.decode import quiet
from ganrun.data.listing import Listing
from ganrun.data.sources import Picture, Source

HEAD = 2**16  # bytes: the size of nearly every picture stands in so many
REMEMBERED = 8  # listings: the plan and the run measure the same ones
SIZES: dict[str, np.ndarray] = {}


def measured(listing: Listing) -> np.ndarray:
    """(N, 3) int64: height and width as a viewer shows the picture, and 1 for a JPEG; zeros for what has no size.

    What has none is damaged, and is reported when it is decoded. Remembered per process.
    """
    key = hashlib.sha256(repr([str(listing.source.root), listing.pictures]).encode("utf-8", "replace")).hexdigest()
    if key not in SIZES:
        while len(SIZES) >= REMEMBERED:
            del SIZES[next(iter(SIZES))]
        SIZES[key] = _measured(listing)
    return SIZES[key]


def _measured(listing: Listing) -> np.ndarray:
    count = len(listing)
    with ThreadPoolExecutor(4 * (os.cpu_count() or 1)) as threads:  # they mostly wait for the disk
        found = threads.map(lambda picture: sides_of(listing.source, picture), listing.pictures)
        told = bar(found, total=count, desc="measuring", unit="img", disable=quiet(count), leave=False)
        return np.array(list(told), np.int64).reshape(count, 3)


def sides_of(source: Source, picture: Picture) -> tuple[int, int, int]:
    """(height, width, is it a JPEG) of one picture; zeros for a broken file."""
    for content in (HEAD, picture.size):
        try:
            data = source.read(picture._replace(size=min(content, picture.size)))
            if is_array(data) or needs_library(data):
                size = header_of(data).size
                return size[1], size[0], 0
            with open_picture(data) as image:
                sides = image.size if lies_on_its_side(image) else image.size[::-1]
                return sides[0], sides[1], int(image.format == "JPEG")
        except Exception:  # cut off at HEAD, or damaged: then Pillow and zipfile raise anything
            continue
    return 0, 0, 0
