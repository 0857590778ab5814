"""Unpaired: pictures of two domains that nobody has matched."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Self, Unpack

import torch
from torch import Tensor

from ganrun.common.bounds import Count, Positive, Whole
from ganrun.common.seeding import mix
from ganrun.data.cropping import load_cropped
from ganrun.data.crops import Crop, CropScale, Small, checked_size, make_crops
from ganrun.data.dataset import Dataset, Images, Size, as_size, chosen
from ganrun.data.digits import Digits
from ganrun.data.domains import Names, as_domains, find_domain_facts, list_domains
from ganrun.data.folder import load, make_decoder
from ganrun.data.listing import say_size
from ganrun.data.parts import Part, rows_of_parts
from ganrun.data.storage import PictureOptions, PictureStorage
from ganrun.data.streamed import Streamed, picked


class Unpaired(Dataset):
    """Batches of "a" and "b", as long as the larger domain; the order of b has nothing to do with that of a.

    root_a, root_b: folders or .zips, and root_b of None is root_a. class_a, class_b: only this class folder of each, or
    these. list_a, list_b: only the pictures that this .txt or .csv names (`named_rows`). Neither a root nor a list:
    half of the digits inside the package, and the other half inverted. limit: at most so many of each domain, a fixed
    random subset. channels and image_size of None are found out. crop: parts of pictures that keep their own size
    (`Crops`), of a and b independently. turns: quarter turns in training.
    Raises ValueError or FileNotFoundError, in one line that names the key.
    """

    infer = staticmethod(find_domain_facts)

    def __init__(
        self,
        root_a: str | None = None,
        root_b: str | None = None,
        split: str | None = None,
        class_a: Names | None = None,
        class_b: Names | None = None,
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
        list_a: str | None = None,
        list_b: str | None = None,
        **options: Unpack[PictureOptions],
    ) -> None:
        storage = PictureStorage(**options)
        if image_size is None or channels is None:
            facts = find_domain_facts(root_a, root_b, split, class_a, class_b, list_a, list_b, crop)
            image_size, channels = image_size or facts["image_size"], channels or facts["channels"]
        domains = as_domains(root_a, root_b, split, class_a, class_b, list_a, list_b)
        crops = make_crops(crop, crop_scale, small, resize, domains is not None)
        a: Images
        b: Images
        if domains:
            decoder = make_decoder(checked_size(crops, image_size) if crops else image_size, channels, resize, storage)
            if not crops:
                say_size(decoder.size, *domains)
            one, other = list_domains(domains)
            rows, others = limited([len(one), len(other)], limit)
            a, b = (
                load_cropped([part], decoder, crops, broken, storage)[0]
                if crops
                else load(part, decoder, broken, storage)[0]
                for part in (one.pick(rows.tolist()), other.pick(others.tolist()))
            )
        else:
            a, b = inverted_halves(image_size, channels, limit)
        super().__init__(a, flip=flip, kimg=kimg, classes=classes, resident=storage.resident)
        self.set_crops(crops, turns)
        self.sided = domains is None  # the digits
        self.others, self.order = b, mixed(len(b), max(len(a), len(b)))

    def __len__(self) -> int:
        return len(self.order)

    @property
    def image_stores(self) -> list[Images]:
        return [self.images, self.others]

    def held_out_parts(self, share: float) -> tuple[Part, Part]:
        """What a run learns from, and the `share` of each domain that it does not. Raises UserError for too few."""
        of_a, of_b = (rows_of_parts(len(images), share) for images in (self.images, self.others))
        return self.part(of_a[0], of_b[0]), self.part(of_a[1], of_b[1])

    def part(self, of_a: Tensor, of_b: Tensor) -> Part:
        """Only these pictures of a and of b."""
        items = torch.arange(len(self))
        rows = items[torch.isin(items % len(self.images), of_a)]
        shuffled = copy.copy(self)
        shuffled.order = self.order.clone()
        shuffled.order[rows] = of_b[mixed(len(of_b), len(rows))]
        return Part(shuffled, rows)

    def among(self, rows: Tensor) -> Self:
        part = copy.copy(self)
        if isinstance(self.images, Streamed):
            part.images = self.images.among(rows % len(self.images))
        if isinstance(self.others, Streamed):
            part.others = self.others.among(self.order[rows])
        return part

    def take(self, indices: Tensor, keys: Sequence[int] | None = None) -> dict[str, Tensor]:
        """(N,) indices -> {"a": (N, C, H, W) uint8, "b": (N, C, H, W) uint8}."""
        a, _ = picked(self.images, indices % len(self.images), keys)
        # keys of its own: where the crop of a lies must not tell where that of b does
        b, _ = picked(self.others, self.order[indices], None if keys is None else [mix(key) for key in keys])
        return {"a": a, "b": b}


def limited(counts: list[int], limit: int | None) -> list[Tensor]:
    """Which pictures of each domain are used. Raises ValueError for a limit below 1."""
    return [chosen(count, limit) for count in counts]


def mixed(count: int, length: int) -> Tensor:
    """(length,) indices below `count`: always the same shuffled rounds, each holding every index once."""
    random = torch.Generator().manual_seed(0)
    rounds = [torch.randperm(count, generator=random) for _ in range(0, length, count)]
    return torch.cat(rounds)[:length]


def inverted_halves(image_size: Size, channels: int, limit: int | None) -> tuple[Tensor, Tensor]:
    """The first half of the embedded digits, and the second half with white and black exchanged."""
    digits = Digits(as_size(image_size), channels)
    a, b = digits.take(torch.arange(len(digits)))["image"].tensor_split(2)
    rows, others = limited([len(a), len(b)], limit)
    return a[rows], 255 - b[others]
