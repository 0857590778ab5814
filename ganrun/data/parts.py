"""Parts of a data set: one to learn from, and a fixed random share that a run does not learn from."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor

from ganrun.common.errors import UserError
from ganrun.data.dataset import Dataset, Images


class Part(Dataset):
    """The items of `whole` at (n,) `rows`; pictures that are streamed stay so, and nothing is copied.

    rest: for what a run learns from, the part that it does not.
    """

    rest: Part | None = None

    def __init__(self, whole: Dataset, rows: Tensor) -> None:
        vars(self).update(vars(whole))  # its facts: what it holds, how it is mirrored, and what a user should hear
        self.whole, self.rows = whole, rows
        self.sided, self.modes, self.crops = whole.sided, whole.modes, whole.crops
        self.labels = None if whole.labels is None else whole.labels[rows]
        self.names = [whole.names[row] for row in rows.tolist()] if len(whole.names) == len(whole) else ()

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def image_stores(self) -> list[Images]:
        return self.whole.image_stores

    @property
    def has_no_transform(self) -> bool:
        return self.whole.has_no_transform

    def remarks(self) -> list[str]:
        return self.whole.remarks()

    def to(self, device: torch.device) -> Self:
        moved, whole = copy.copy(self), self.whole.to(device)
        moved.whole, moved.rows, moved.labels = whole, self.rows.to(whole.device), self.labels
        moved.images, moved.device, moved.pinned = whole.images, whole.device, whole.pinned
        return moved

    def take(self, indices: Tensor, keys: Sequence[int] | None = None) -> dict[str, Tensor]:
        rows = self.rows[indices]
        return self.whole.take(rows, keys) if self.crops else self.whole.take(rows)

    def transform(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        return self.whole.transform(batch)


def rows_of_parts(count: int, share: float) -> tuple[Tensor, Tensor]:
    """`count` items -> the sorted rows to learn from, and those of the `share` that is held out: always the same.

    At least one is held out. Raises UserError when none would be left to learn from.
    """
    held = max(1, round(share * count))
    if held >= count:
        raise UserError(f"test_share={share} leaves none of {count} to learn from")
    order = torch.randperm(count, generator=torch.Generator().manual_seed(0))
    return order[held:].sort().values, order[:held].sort().values


def parts(data: Dataset, share: float) -> tuple[Part, Part]:
    """What a run learns from, and the `share` that it does not. Raises UserError as `rows_of_parts` does."""
    own = getattr(data, "held_out_parts", None)  # of data whose items share pictures, such as two domains
    kept, held = own(share) if own is not None else [Part(data, rows) for rows in rows_of_parts(len(data), share)]
    kept.rest = held
    return kept, held
