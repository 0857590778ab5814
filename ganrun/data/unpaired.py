"""Unpaired: pictures of two domains that nobody has matched."""

from __future__ import annotations

from typing import Unpack

import torch
from torch import Tensor

from ganrun.common.bounds import Count, Positive, Whole
from ganrun.data.dataset import Dataset, Size, as_size, chosen
from ganrun.data.digits import Digits
from ganrun.data.domains import Names, as_domains, find_domain_facts, list_domains
from ganrun.data.folder import load, make_decoder
from ganrun.data.listing import say_size
from ganrun.data.storage import Storage, StorageOptions
from ganrun.data.streamed import Streamed, picked


class Unpaired(Dataset):
    """Batches of "a" and "b", as long as the larger domain; the order of b has nothing to do with that of a.

    root_a, root_b: folders or .zips, and root_b of None is root_a. class_a, class_b: only this class folder of each, or
    these. list_a, list_b: only the pictures that this .txt or .csv names (`named_rows`). Neither a root nor a list:
    half of the digits inside the package, and the other half inverted. limit: at most so many of each
    domain, a fixed random subset. channels and image_size of None are found out.
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
        list_a: str | None = None,
        list_b: str | None = None,
        **options: Unpack[StorageOptions],
    ) -> None:
        storage = Storage(**options)
        if image_size is None or channels is None:
            facts = find_domain_facts(root_a, root_b, split, class_a, class_b, list_a, list_b)
            image_size, channels = image_size or facts["image_size"], channels or facts["channels"]
        a: Tensor | Streamed
        b: Tensor | Streamed
        domains = as_domains(root_a, root_b, split, class_a, class_b, list_a, list_b)
        if domains:
            decoder = make_decoder(image_size, channels, resize)
            say_size(decoder.size, *domains)
            one, other = list_domains(domains)
            rows, others = limited([len(one), len(other)], limit)
            a, _ = load(one.pick(rows.tolist()), decoder, broken, storage)
            b, _ = load(other.pick(others.tolist()), decoder, broken, storage)
        else:
            a, b = inverted_halves(image_size, channels, limit)
        super().__init__(a, flip=flip, kimg=kimg, classes=classes, resident=storage.resident)
        self.sided = domains is None  # the digits
        self.others, self.order = b, mixed(len(b), max(len(a), len(b)))

    def __len__(self) -> int:
        return len(self.order)

    @property
    def image_stores(self) -> list[Tensor | Streamed]:
        return [self.images, self.others]

    def take(self, indices: Tensor) -> dict[str, Tensor]:
        """(N,) indices -> {"a": (N, C, H, W) uint8, "b": (N, C, H, W) uint8}."""
        a, _ = picked(self.images, indices % len(self.images))
        b, _ = picked(self.others, self.order[indices])
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
