"""Folder: the images of a folder tree, a .zip or .tar shards."""

from __future__ import annotations

from typing import Unpack

import torch

from ganrun.common.bounds import Count, Positive, Whole
from ganrun.data.dataset import Dataset, Size, as_size, chosen
from ganrun.data.decode import FITS, Decoder
from ganrun.data.listing import Labelled, Listing, find_facts, list_images, say_size
from ganrun.data.resize import check_channels
from ganrun.data.sources import IN_FULL, warn_each
from ganrun.data.storage import PREVIEWED, Storage, StorageOptions
from ganrun.data.streamed import Names, Streamed


class Folder(Dataset):
    """Images below `root`, labelled by their class folders or by a file (`list_images` says how), brought to one size.

    resize: `crop` scales the short side and cuts the centre, `squash` ignores proportions, `pad` adds black.
    broken: `skip` warns and goes on, `refuse` raises. limit: a fixed random subset, drawn before anything is decoded.
    options: where the decoded images live (`StorageOptions`). channels and image_size of
    None are found out (`find_facts`). Raises ValueError or FileNotFoundError, in one line that names the key.
    """

    def __init__(
        self,
        root: str | None = None,
        split: str | None = None,
        labelled: Labelled = "auto",
        labels: str | None = None,
        image_size: Size | None = None,
        channels: int | None = None,
        classes: Whole | None = None,
        resize: str = "crop",
        broken: str = "skip",
        limit: Count | None = None,
        flip: bool = False,
        kimg: Positive = 1000,
        **options: Unpack[StorageOptions],
    ) -> None:
        storage = Storage(**options)
        if image_size is None or channels is None:
            facts = find_facts(root, split, labelled, labels)
            image_size, channels = image_size or facts["image_size"], channels or facts["channels"]
        decoder = make_decoder(image_size, channels, resize)
        listing = list_images(root, split, labelled, labels)
        say_size(decoder.size, root, split, labelled, labels)
        images, listing = load(listing.pick(chosen(len(listing), limit).tolist()), decoder, broken, storage)
        found = None if listing.labels is None else torch.tensor(listing.labels)
        super().__init__(
            images, found, listing.class_names, flip, kimg=kimg, classes=classes, resident=storage.resident
        )
        self.names = Names(listing.pictures)


def make_decoder(image_size: Size, channels: int, resize: str) -> Decoder:
    """Raises ValueError for a value that no decoder has."""
    if resize not in FITS:
        raise ValueError(f"dataset.resize={resize} must be one of {', '.join(FITS)}")
    return Decoder(check_channels(channels), as_size(image_size), FITS[resize])


def load(
    listing: Listing, decoder: Decoder, broken: str = "skip", storage: Storage | None = None
) -> tuple[torch.Tensor | Streamed, Listing]:
    """(N, C, H, W) uint8 images and the listing of just those: the broken ones are reported and left out.

    What is streamed is only looked at when it is drawn.
    """
    if broken not in ("skip", "refuse"):
        raise ValueError(f"dataset.broken={broken} must be skip or refuse")
    storage = storage or Storage()
    warn_each(listing.notes)
    kept = storage.load(listing, decoder)
    if kept is None:
        streamed = Streamed([listing], [decoder], broken == "refuse", storage.processes)
        return streamed.as_preview(storage.planned_bytes(listing, decoder)) if PREVIEWED.get() else streamed, listing
    images, faults = kept
    report(listing, faults, broken)
    return torch.from_numpy(images), listing.pick([i for i in range(len(listing)) if i not in faults])


def report(listing: Listing, faults: dict[int, str], broken: str) -> None:
    """One warning a broken image; raises ValueError when they are refused or when nothing else is left."""
    lines = [f"{listing.pictures[i].name!r} is broken: {why}" for i, why in faults.items()]
    if faults and (broken == "refuse" or len(faults) == len(listing)):
        more = f"; and {len(lines) - IN_FULL} more" if len(lines) > IN_FULL else ""
        raise ValueError(
            f"dataset.root={listing.source.root}: {len(lines)} of {len(listing)} images are broken, "
            f"mend or delete them: {'; '.join(lines[:IN_FULL])}{more}"
        )
    warn_each(lines)
