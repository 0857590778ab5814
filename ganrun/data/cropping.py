"""Cropping: loads pictures that keep their own size, after a look at the sizes of all of them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial

import numpy as np

from ganrun.common.untrusted import printable
from ganrun.data.broken import check_broken, report
from ganrun.data.cropped import CroppedStore, CroppedStream, Cut, View
from ganrun.data.crops import Crops
from ganrun.data.decode import Decoder
from ganrun.data.inferred_size import height_by_width
from ganrun.data.listing import Listing, say_kinds
from ganrun.data.measured import measured
from ganrun.data.ragged import Ragged, RaggedCache, WholeDecoder, ragged
from ganrun.data.sources import warn_each
from ganrun.data.storage import PREVIEWED, Storage

log = logging.getLogger(__name__)

NAMED = 3  # pairs of unlike size that are named
SINGLE = (View(),)
HALVES = (View(0, "right"), View(0, "left"))  # target, source

Loaded = tuple[CroppedStore | CroppedStream, list[int]]


def load_cropped(
    listings: Sequence[Listing],
    decoder: Decoder,
    crops: Crops,
    broken: str,
    storage: Storage,
    views: tuple[View, ...] = SINGLE,
) -> Loaded:
    """The crops of items, and the rows of `listings` that they are: what is broken or skipped is left out.

    listings: the files of the items, in one order. views: the pictures of an item; those of different size differ by
    a whole factor. Raises ValueError for such that do not, and where no picture is left.
    """
    refuse = check_broken(broken)
    for listing in listings:
        warn_each(listing.notes)
        say_kinds(listing, decoder.to_srgb)
    sizes = [measured(listing) for listing in listings]
    largest = max(view.factor for view in views)
    if len(listings) > 1:
        check_alike(listings, sizes, views)
    rows = large_enough(listings[0], sizes[0], crops, views[0])
    listings, sizes = [listing.pick(rows) for listing in listings], [each[rows] for each in sizes]
    cut = Cut(crops.over(largest), views)
    # a JPEG that is decoded smaller is rounded to whole pixels, and pairs would not be aligned any more
    wholes = [WholeDecoder(decoder, crops, drafts=len(views) == 1) for _ in listings]
    kept = [keep(*each, storage) for each in zip(listings, wholes, sizes, strict=True)]
    present = [one for one in kept if one is not None]
    if len(present) < len(kept):
        most = max(whole.largest(each) for whole, each in zip(wholes, sizes, strict=True))
        stream = CroppedStream(listings, wholes, cut, refuse, storage.processes, most)
        if PREVIEWED.get():
            planned = [whole.nbytes(each) for whole, each in zip(wholes, sizes, strict=True)]
            bytes_each = [storage.planned(len(rows), nbytes) for nbytes in planned]
            stream.as_preview(sum(bytes_each) if all(bytes_each) else 0)
        return stream, rows
    for listing, (_, faults) in zip(listings, present, strict=True):
        report(listing, faults, broken)
    bad = set[int]().union(*(faults for _, faults in present))
    if len(bad) == len(rows):
        raise ValueError(f"in each item of {' and '.join(str(each.source.root) for each in listings)} one is broken")
    good = [i for i in range(len(rows)) if i not in bad]
    return CroppedStore([pictures.pick(good) for pictures, _ in present], cut), [rows[i] for i in good]


def keep(
    listing: Listing, whole: WholeDecoder, sizes: np.ndarray, storage: Storage
) -> tuple[Ragged, dict[int, str]] | None:
    """The decoded pictures, in memory or in the cache, with {index: error} of the broken; None: they are streamed."""

    def cached(folder: str, limit: int) -> tuple[Ragged, dict[int, str]]:
        return RaggedCache(folder, listing, whole.decoder, limit, sizes, whole).pictures()

    return storage.keep(len(listing), whole.nbytes(sizes), cached, partial(ragged, listing, whole, sizes))


def large_enough(listing: Listing, sizes: np.ndarray, crops: Crops, view: View) -> list[int]:
    """The rows that are used, after one line about those that are smaller than the crop.

    Raises ValueError when none is left, or none has a size.
    """
    sides = [view.sides((height, width)) for height, width, _ in sizes.tolist()]
    known = [i for i, (height, width) in enumerate(sides) if height and width]
    if not known:
        raise ValueError(f"dataset.root={listing.source.root}: all of its {len(sides)} images are broken")
    small = {i for i in known if crops.is_small(sides[i])}
    if not small:
        return list(range(len(sides)))
    where, size = listing.source.root, height_by_width(crops.size)
    what = f"{len(small):,} of {len(known):,} pictures in {where} are smaller than dataset.crop={size}"
    if crops.small == "skip":
        if len(small) == len(known):
            biggest = height_by_width(max((sides[i] for i in known), key=min))
            raise ValueError(
                f"{what}, the largest is {biggest}, and dataset.small=skip leaves none: use a smaller crop, or "
                "dataset.small=enlarge"
            )
        log.info("%s and are left out (dataset.small=skip)", what)
        return [i for i in range(len(sides)) if i not in small]
    log.info("%s and are %s (dataset.small=%s)", what, {"enlarge": "enlarged", "pad": "padded with black"}[crops.small],
             crops.small)  # fmt: skip
    return list(range(len(sides)))


def check_alike(listings: Sequence[Listing], sizes: Sequence[np.ndarray], views: Sequence[View]) -> None:
    """Raises ValueError that names pairs whose pictures do not cover the same pixels, each by its factor."""
    grids = [each[:, :2] for each in sizes]
    known = np.logical_and.reduce([grid.all(1) for grid in grids])
    factors = {view.file: view.factor for view in views}
    (one, other), k, m = grids, factors[0], factors[1]
    unlike = np.flatnonzero(known & (one * m != other * k).any(1)).tolist()
    if not unlike:
        return
    named = ", ".join(
        f"{printable(listings[0].pictures[i].name)!r} ({height_by_width(tuple(one[i]))} beside "
        f"{height_by_width(tuple(other[i]))})"
        for i in unlike[:NAMED]
    )
    more = f" and {len(unlike) - NAMED:,} more" if len(unlike) > NAMED else ""
    wanted = "the same size" if k == m else f"exactly {max(k, m)} times the size of its source (dataset.scale)"
    raise ValueError(
        f"dataset.crop: in {len(unlike):,} of {len(known):,} pairs the target has not {wanted}, so no crop would show "
        f"the same of both: {named}{more}"
    )
