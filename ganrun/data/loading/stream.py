"""Batches: what they hold, in which order they come, and how they reach the device."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Protocol, TypedDict

import torch
from torch import Tensor

from ganrun.common.seeding import generator
from ganrun.data.loading.prefetch import Batch, decoded, pinned


class Labelled(TypedDict, total=False):
    """image: (N, C, H, W) float in [-1, 1]; label: (N,) int64, absent when the data have none."""

    image: Tensor
    label: Tensor


class Takes(Protocol):
    """Anything with a length that gives the items of some indices as one batch, and finishes it on the device.

    device: where its indices and batches lie. workers: how many processes decode its items; None for items that are
    decoded. pinned: should batches come through pinned memory?
    """

    device: torch.device
    pinned: bool

    @property
    def workers(self) -> int | None: ...

    def __len__(self) -> int: ...

    def take(self, indices: Tensor) -> Batch: ...

    def transform(self, batch: Batch) -> Batch: ...

    @property
    def has_no_transform(self) -> bool: ...


class Stream:
    """Endless batches of shuffled epochs. Batch i is a function of (seed, i, rank, world size) and can be asked
    for directly, so the position in the data is one integer and a resumed run replays nothing.

    Epochs follow each other without a gap: a batch may hold the end of one and the start of the next.
    """

    def __init__(self, data: Takes, batch_size: int, seed: int, rank: int = 0, world_size: int = 1) -> None:
        if world_size > len(data):
            raise ValueError(f"{world_size} ranks, but the data have only {len(data)} images: start fewer processes")
        if batch_size > len(data):
            raise ValueError(f"batch_size={batch_size} is larger than the data: {len(data)} images")
        if batch_size % world_size:
            near = -(-batch_size // world_size) * world_size
            raise ValueError(f"batch_size={batch_size} is not divisible by the {world_size} ranks: try {near}")
        self.data, self.batch_size, self.seed = data, batch_size, seed
        self.rank, self.world_size = rank, world_size
        self._kept = -1, torch.empty(0, dtype=torch.int64)

    def __getitem__(self, step: int) -> Batch:
        """This rank's share of batch `step`: uint8 images, on the device where the data are."""
        return self.data.take(self.indices(step))

    @property
    def on_device(self) -> bool:
        """Whether the data lie on an accelerator, and batches are gathered there."""
        return self.data.device.type != "cpu"

    def indices(self, step: int) -> Tensor:
        """(batch_size / world_size,) int64, on the device where the data are: what is taken for this rank's share."""
        share = self.batch_size // self.world_size
        start = step * self.batch_size + self.rank * share
        return self._indices(start, start + share)

    def starting_at(self, step: int) -> Iterator[Batch]:
        """Batches from `step` on, made ready ahead of time where that takes time."""
        if self.data.workers is not None:
            return decoded(self.data.take, self.indices, step, self.data.workers, self.data.pinned)
        if self.data.pinned:
            return pinned(self.__getitem__, step)
        return map(self.__getitem__, itertools.count(step))

    def _indices(self, start: int, stop: int) -> Tensor:
        epoch, first = divmod(start, len(self.data))
        count = min(stop - start, len(self.data) - first)
        here = self._permutation(epoch)[first : first + count]
        return here if start + count == stop else torch.cat([here, self._indices(start + count, stop)])

    def _permutation(self, epoch: int) -> Tensor:
        kept, order = self._kept  # one pair: a thread that fetches ahead may ask too
        if epoch != kept:
            order = torch.randperm(len(self.data), generator=generator(self.seed, epoch))
            if self.data.device.type == "cuda":
                order = order.pin_memory()  # or the copy would wait for the device
            order = order.to(self.data.device, non_blocking=True)
            self._kept = epoch, order
        return order


def prepare(batch: Batch, device: torch.device, flip: bool = False) -> Batch:
    """Move a batch to the device; uint8 images become floats in [-1, 1], channels last; half of them mirrored if asked.

    Every image tensor of an item is mirrored alike, so that pairs stay pairs.
    """
    moved = {name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()}
    images = {name: tensor for name, tensor in moved.items() if tensor.dtype == torch.uint8}
    mirrored = torch.rand(len(next(iter(images.values()))), device=device) < 0.5 if flip and images else None
    for name, image in images.items():
        image = image.to(torch.float32, memory_format=torch.channels_last).mul_(1 / 127.5).sub_(1)
        if mirrored is not None:
            image = torch.where(mirrored[:, None, None, None], image.flip(3), image)
        moved[name] = image
    return moved


def cut(batch: Batch, count: int) -> list[Batch]:
    """The batch in so many parts, in order; the same objects for all turns of a step, which may remember a part."""
    if count == 1:
        return [batch]
    pieces = {name: tensor.tensor_split(count) for name, tensor in batch.items()}
    return [{name: tensors[number] for name, tensors in pieces.items()} for number in range(count)]
