"""Paired: pictures that belong together, a source and its target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Unpack

import torch
import torch.nn.functional as F
from torch import Tensor

from ganrun.common.bounds import Count, Positive, Setting, Whole
from ganrun.data.cropped import CroppedStore, View
from ganrun.data.cropping import HALVES, load_cropped
from ganrun.data.crops import Crop, CropScale, Small, checked_size, make_crops
from ganrun.data.dataset import Dataset, Images, Size, as_size, chosen
from ganrun.data.decode import Decoder, halved
from ganrun.data.digits import Digits
from ganrun.data.folder import load, make_decoder
from ganrun.data.listing import Listing, list_images, say_size
from ganrun.data.pairing import check_roots, find_pair_facts, list_pairs, unlike_depths
from ganrun.data.sources import warn_each
from ganrun.data.storage import PREVIEWED, PictureOptions, PictureStorage, Storage
from ganrun.data.streamed import Streamed

INK = 96  # grey level from which a pixel of the digits counts as inked


class Paired(Dataset):
    """Batches of "source" and "target": from two folders or .zips with the same names, or from pictures side by side.

    root_source, root_target: matched by their paths below the split, suffixes aside. root: the left half is the source,
    the right half the target. No root at all: the outlines of the digits inside the package, and the digits.
    swap: exchange the two. scale: sources are brought to image_size / scale. broken: `skip` leaves a pair out with a
    warning when either is. limit: a fixed random subset of the pairs. channels and image_size of None are found out.
    crop: both are cut alike, from pictures that keep their own size (`Crops`). turns: quarter turns in training.
    Raises ValueError or FileNotFoundError, in one line that names the key.
    """

    infer = staticmethod(find_pair_facts)

    def __init__(
        self,
        root: str | None = None,
        root_source: str | None = None,
        root_target: str | None = None,
        split: str | None = None,
        swap: bool = False,
        image_size: Size | None = None,
        channels: int | None = None,
        classes: Whole | None = None,
        scale: Setting = 1,
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
        check_roots(root, root_source, root_target)
        if image_size is None or channels is None:
            facts = find_pair_facts(root, root_source, root_target, split, swap, crop)
            image_size, channels = image_size or facts["image_size"], channels or facts["channels"]
        crops = make_crops(crop, crop_scale, small, resize, bool(root or root_source))
        target = make_decoder(checked_size(crops, image_size) if crops else image_size, channels, resize, storage)
        if not crops:
            say_size(target.size, root, root_source, root_target, split, swap)
        pairs: tuple[Tensor, Tensor] | Streamed | CroppedStore
        if root_source:
            both = list_pairs(root_source, root_target, split)[:: -1 if swap else 1]
            listings = [listing.pick(chosen(len(listing), limit).tolist()) for listing in both]
            warn_each(unlike_depths(*listings) if storage.depth > 8 else [])
            source = make_decoder(
                smaller(image_size, scale, "crop" if crops else "image_size"), channels, resize, storage
            )
            if crops:
                views = View(0, factor=scale), View(1)
                pairs, _ = load_cropped(listings[::-1], target, crops, broken, storage, views)
            else:
                pairs = load_pairs(listings, (source, target), broken, storage)
        elif scale != 1:
            raise ValueError(f"dataset.scale={scale} needs dataset.root_source and dataset.root_target")
        elif root:
            halves = list_images(root, split, labelled=False)
            halves = halves.pick(chosen(len(halves), limit).tolist())
            if crops:
                pairs, _ = load_cropped([halves], target, crops, broken, storage, HALVES[:: -1 if swap else 1])
            else:
                pairs = load_halves(halves, target, broken, storage, swap)
        else:
            outlines, digits = outlined(target, limit)
            pairs = (digits, outlines) if swap else (outlines, digits)
        sources, targets = pairs if isinstance(pairs, tuple) else (pairs, pairs)
        super().__init__(targets, flip=flip, kimg=kimg, classes=classes, resident=storage.resident)
        self.set_crops(crops, turns)
        self.sources, self.scale, self.sided = sources, scale, not (root or root_source)  # the digits have sides

    @property
    def image_stores(self) -> list[Images]:
        return [self.sources, self.images]

    def take(self, indices: Tensor, keys: Sequence[int] | None = None) -> dict[str, Tensor]:
        """(N,) indices -> {"source": (N, C, H/scale, W/scale) uint8, "target": (N, C, H, W) uint8}."""
        if isinstance(self.images, Tensor) and isinstance(self.sources, Tensor):
            return {"source": self.sources[indices], "target": self.images[indices]}
        assert not isinstance(self.images, Tensor)
        target, source = self.images.read(indices, keys)[0]
        return {"source": source, "target": target}


class Halves(Streamed):
    """Pictures side by side, decoded whenever they are drawn: the right half and the left, or the other way round."""

    def __init__(self, listing: Listing, whole: Decoder, refuse: bool, workers: int, swap: bool) -> None:
        super().__init__([listing], [whole], refuse, workers)
        self.shape, self.swap = (*self.shape[:3], self.shape[3] // 2), swap

    def read(self, indices: Tensor, keys: Sequence[int] | None = None) -> tuple[list[Tensor], Tensor]:
        (both,), taken = super().read(indices, keys)
        return list(both.split(self.shape[3], dim=3))[:: 1 if self.swap else -1], taken


def smaller(size: Size, scale: int, key: str = "image_size") -> tuple[int, int]:
    """The size of the sources. Raises ValueError when it would not be whole."""
    height, width = as_size(size)
    if not isinstance(scale, int) or scale < 1 or height % scale or width % scale:
        raise ValueError(f"dataset.scale={scale} must be a whole number that divides dataset.{key}={size}")
    return height // scale, width // scale


def load_pairs(
    listings: Sequence[Listing], decoders: Sequence[Decoder], broken: str, storage: Storage
) -> tuple[Tensor, Tensor] | Streamed:
    """Two listings in one order -> two tensors (N, C, H, W) uint8 of the pairs of which both pictures are sound.

    Where either is to be streamed, both are: targets, which come second, then sources.
    """
    loaded = [load(listing, decoder, broken, storage) for listing, decoder in zip(listings, decoders, strict=True)]
    one, other = (images for images, _ in loaded)
    if isinstance(one, Streamed) or isinstance(other, Streamed):
        drawn = Streamed(listings[::-1], decoders[::-1], broken == "refuse", storage.processes)
        return drawn.as_preview(one.nbytes + other.nbytes) if PREVIEWED.get() else drawn
    sound: list[list[int]] = []
    for whole, (_, kept) in zip(listings, loaded, strict=True):
        index = {picture: i for i, picture in enumerate(whole.pictures)}
        sound.append([index[picture] for picture in kept.pictures])
    both = set(sound[0]) & set(sound[1])
    if not both:
        raise ValueError(
            f"in each pair of {' and '.join(str(listing.source.root) for listing in listings)} one is broken"
        )
    if len(both) == len(listings[0]):  # nothing to leave out: what a cache maps into memory is not copied
        return one, other
    rows = [[row for row, i in enumerate(indices) if i in both] for indices in sound]
    return one[rows[0]], other[rows[1]]


def load_halves(
    listing: Listing, half: Decoder, broken: str, storage: Storage, swap: bool
) -> tuple[Tensor, Tensor] | Streamed:
    """The left and the right halves of pictures, each (N, C, H, W) uint8, or the other way round."""
    height, width = half.size
    whole = replace(half, size=(height, 2 * width), fit=halved(half.fit))
    images, _ = load(listing, whole, broken, storage)
    if isinstance(images, Streamed):
        halves = Halves(listing, whole, images.refuse, storage.processes, swap)
        return halves.as_preview(images.nbytes) if PREVIEWED.get() else halves
    left, right = images.split(width, dim=3)
    return (right, left) if swap else (left, right)


def outlined(decoder: Decoder, limit: int | None) -> tuple[Tensor, Tensor]:
    """The outlines of the embedded digits, white on black, and the digits."""
    embedded = Digits(decoder.size, decoder.channels, limit=limit)
    digits = embedded.take(torch.arange(len(embedded)))["image"]
    ink = (digits > INK).float()
    inside = 1 - F.max_pool2d(1 - ink, 3, stride=1, padding=1)
    return ((ink - inside) * 255).to(torch.uint8), digits
