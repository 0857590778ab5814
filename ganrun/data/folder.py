"""Folder: the images of a folder tree, a .zip or .tar shards."""

from __future__ import annotations

from typing import Unpack

import torch

from ganrun.common.bounds import Count, Positive, Whole
from ganrun.common.headers import MAX_CHANNELS
from ganrun.data.broken import check_broken, report
from ganrun.data.cropping import load_cropped
from ganrun.data.crops import Crop, CropScale, Small, checked_size, make_crops
from ganrun.data.dataset import Dataset, Images, Size, as_size, chosen
from ganrun.data.decode import FITS, Decoder
from ganrun.data.listing import Labelled, Listing, find_facts, list_images, say_kinds, say_size
from ganrun.data.sources import warn_each
from ganrun.data.storage import PREVIEWED, PictureOptions, PictureStorage, Storage
from ganrun.data.streamed import Names, Streamed


class Folder(Dataset):
    """Images below `root`, labelled by their class folders or by a file (`list_images` says how), brought to one size.

    resize: `crop` scales the short side and cuts the centre, `squash` ignores proportions, `pad` adds black.
    broken: `skip` warns and goes on, `refuse` raises. limit: a fixed random subset, drawn before anything is decoded.
    crop: parts of so many pixels are cut from pictures that keep their own size (`Crops` says where); turns: quarter
    turns in training. options: where the decoded images live (`PictureOptions`). channels and image_size of
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
        crop: Crop | None = None,
        crop_scale: CropScale = 1,
        small: Small = "enlarge",
        turns: bool = False,
        **options: Unpack[PictureOptions],
    ) -> None:
        storage = PictureStorage(**options)
        if image_size is None or channels is None:
            facts = find_facts(root, split, labelled, labels, crop)
            image_size, channels = image_size or facts["image_size"], channels or facts["channels"]
        crops = make_crops(crop, crop_scale, small, resize)
        decoder = make_decoder(checked_size(crops, image_size) if crops else image_size, channels, resize, storage)
        listing = list_images(root, split, labelled, labels)
        listing = listing.pick(chosen(len(listing), limit).tolist())
        images: Images
        if crops:
            images, rows = load_cropped([listing], decoder, crops, broken, storage)
            listing = listing.pick(rows)
        else:
            say_size(decoder.size, root, split, labelled, labels)
            images, listing = load(listing, decoder, broken, storage)
        found = None if listing.labels is None else torch.tensor(listing.labels)
        super().__init__(
            images, found, listing.class_names, flip, kimg=kimg, classes=classes, resident=storage.resident
        )
        self.set_crops(crops, turns)
        self.names = Names(listing.pictures)


def make_decoder(image_size: Size, channels: int, resize: str, storage: Storage | None = None) -> Decoder:
    """Raises ValueError for a value that no decoder has."""
    storage = storage or Storage()
    if resize not in FITS:
        raise ValueError(f"dataset.resize={resize} must be one of {', '.join(FITS)}")
    if not 1 <= channels <= MAX_CHANNELS:
        raise ValueError(f"dataset.channels={channels} must be from 1 (grey) or 3 (colour) to {MAX_CHANNELS} bands")
    return Decoder(channels, as_size(image_size), FITS[resize], storage.dtype, storage.span, storage.to_srgb)


def load(
    listing: Listing, decoder: Decoder, broken: str = "skip", storage: Storage | None = None
) -> tuple[torch.Tensor | Streamed, Listing]:
    """(N, C, H, W) images and the listing of just those: the broken ones are reported and left out.

    What is streamed is only looked at when it is drawn.
    """
    refuse = check_broken(broken)
    storage = storage or Storage()
    warn_each(listing.notes)
    say_kinds(listing, decoder.to_srgb)
    kept = storage.load(listing, decoder)
    if kept is None:
        streamed = Streamed([listing], [decoder], refuse, storage.processes)
        return streamed.as_preview(storage.planned_bytes(listing, decoder)) if PREVIEWED.get() else streamed, listing
    images, faults = kept
    report(listing, faults, broken)
    return torch.from_numpy(images), listing.pick([i for i in range(len(listing)) if i not in faults])
