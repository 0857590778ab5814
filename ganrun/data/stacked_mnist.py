"""Stacked MNIST: three random digits as the three channels of a picture, 1,000 modes (Metz et al., 2017)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ganrun.common.bounds import Count, Natural, Positive, Whole
from ganrun.data.dataset import Dataset, Size, chosen
from ganrun.data.modes import Channels
from ganrun.data.torchvision_sets import MNIST

COUNTS = {"train": 128_000, "test": 26_000, "all": 154_000}  # PacGAN's (Lin et al., 2018, section 4.2)
STACKED = 3


class StackedMNIST(Dataset):
    """`count` triples of the digits of a split, drawn from `seed`. Only the digits and the triples are stored.

    count: None takes PacGAN's number for the split. classes: 0, or 1000, which labels a picture with its three digits:
    472 has a 4, a 7 and a 2 in its channels. Raises what `MNIST` raises, and ValueError for another number.
    """

    sided = True

    def __init__(
        self,
        root: str = "data",
        split: str = "train",
        download: bool = False,
        image_size: Size = 28,
        channels: int = STACKED,
        classes: Whole = 0,
        count: Count | None = None,
        seed: Natural = 0,
        limit: Count | None = None,
        flip: bool = False,
        kimg: Positive = 6400,
    ) -> None:
        if channels != STACKED:
            raise ValueError(f"dataset.channels={channels}: three digits are stacked, so leave the key out")
        self.digits = MNIST(root, split, download, image_size)
        self.modes = Channels(self.digits, STACKED)
        if classes not in (0, self.modes.count):
            raise ValueError(f"dataset.classes={classes} must be 0, or {self.modes.count}: a class for each mode")
        count = count or COUNTS[split]
        source = torch.Generator().manual_seed(seed)
        self.triples = torch.randint(len(self.digits), (count, STACKED), generator=source)[chosen(count, limit)]
        digits = self.digits.labels
        assert digits is not None
        numbers = (digits[self.triples] * torch.tensor([100, 10, 1])).sum(1)
        names = [f"{number:03d}" for number in range(self.modes.count)] if classes else []
        super().__init__(self.digits.images, None, flip=flip, kimg=kimg)
        self.labels, self.class_names = (numbers, names) if classes else (None, [])

    def __len__(self) -> int:
        return len(self.triples)

    @property
    def channels(self) -> int:
        return STACKED

    def take(self, indices: Tensor, keys: Sequence[int] | None = None) -> dict[str, Tensor]:
        """(N,) indices -> {"image": (N, 3, H, W) uint8, "label": (N,) int64 when there are labels}."""
        triples = self.triples[indices]
        assert isinstance(self.images, Tensor)
        image = self.images[triples.flatten()].view(*triples.shape, *self.image_size)
        return {"image": image} if self.labels is None else {"image": image, "label": self.labels[indices]}
