"""Parts of a data set: one to learn from, and a fixed random share that a run does not learn from."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor

from ganrun.common.errors import UserError
from ganrun.data.dataset import Dataset, Images


class Part(Dataset):
    """The items of `whole` at (n,) `rows`; pictures that are streamed stay so, and nothing is copied.

    Where a streamed picture is broken, another one of the part takes its place. What is not said here is what `whole`
    says. rest: for what a run learns from, the part that it does not.
    """

    rest: Part | None = None

    def __init__(self, whole: Dataset, rows: Tensor) -> None:
        self.whole, self.rows = whole.among(rows), rows
        self.sided, self.modes, self.crops, self.turns = whole.sided, whole.modes, whole.crops, whole.turns
        self.labels = None if whole.labels is None else whole.labels[rows]
        self.names = [whole.names[row] for row in rows.tolist()] if len(whole.names) == len(whole) else ()

    def __getattr__(self, name: str) -> Any:
        """The images, notes, flip, device … of the whole, and the facts of its class, such as `scale`."""
        if name == "whole" or name.startswith("__"):  # while it is copied or sent to another process
            raise AttributeError(name)
        return getattr(self.whole, name)

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
        moved = copy.copy(self)
        moved.whole = self.whole.to(device)
        moved.rows = self.rows.to(moved.whole.device)
        return moved

    def among(self, rows: Tensor) -> Self:
        part = copy.copy(self)
        part.whole = self.whole.among(self.rows[rows])
        return part

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
