"""Batches: their content, their order, and their way to the device."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Protocol, TypedDict

import torch
from torch import Tensor

from ganrun.common.seeding import generator
from ganrun.data.loading.prefetch import Batch, decoded, pinned


class Labelled(TypedDict, total=False):
    """image: (N, C, H, W) float in [-1, 1]. label: (N,) int64; absent when the data have no labels."""

    image: Tensor
    label: Tensor


class Takes(Protocol):
    """What `Stream` needs from a data set.

    device: the device of its indices and batches. workers: the number of processes that decode its items; None when the
    items are decoded already. pinned: whether batches are copied to pinned memory first.
    take: (N,) indices -> a batch. transform: finishes a batch on the training device.
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
    """An endless sequence of batches from shuffled epochs.

    Batch i depends only on (seed, i, rank, world size) and can be computed directly. So the position in the data is one
    integer, and a resumed run does not have to go through earlier batches.
    An epoch follows the last one without a gap: a batch may contain the end of one epoch and the start of the next.
    batch_size: the images of a batch on all ranks together. Raises ValueError when `batch_size` is larger than the data
    or not divisible by `world_size`, or when there are more ranks than images.
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
        self._last_permutation = -1, torch.empty(0, dtype=torch.int64)  # (epoch, its order)

    def __getitem__(self, step: int) -> Batch:
        """This rank's share of batch `step`: uint8 images, on the device of the data."""
        return self.data.take(self.indices(step))

    @property
    def on_device(self) -> bool:
        """Whether the data are on an accelerator. Batches are then gathered there, too."""
        return self.data.device.type != "cpu"

    def indices(self, step: int) -> Tensor:
        """(batch_size / world_size,) int64: the indices of this rank's share of batch `step`, on the data's device."""
        share = self.batch_size // self.world_size
        start = step * self.batch_size + self.rank * share
        return self._indices(start, start + share)

    def starting_at(self, step: int) -> Iterator[Batch]:
        """The batches from `step` on. They are prefetched when the items are decoded or copied to pinned memory."""
        if self.data.workers is not None:
            return decoded(self.data.take, self.indices, step, self.data.workers, self.data.pinned)
        if self.data.pinned:
            return pinned(self.__getitem__, step)
        return map(self.__getitem__, itertools.count(step))

    def _indices(self, start: int, stop: int) -> Tensor:
        """The indices at the positions from `start` to `stop`, counted over all epochs."""
        epoch, first = divmod(start, len(self.data))
        count = min(stop - start, len(self.data) - first)
        here = self._permutation(epoch)[first : first + count]
        return here if start + count == stop else torch.cat([here, self._indices(start + count, stop)])

    def _permutation(self, epoch: int) -> Tensor:
        """The shuffled order of an epoch, (len(data),) int64; the last one is remembered."""
        # read and written as one pair, because the thread that prefetches may call this method at the same time
        last_epoch, order = self._last_permutation
        if epoch != last_epoch:
            order = torch.randperm(len(self.data), generator=generator(self.seed, epoch))
            if self.data.device.type == "cuda":
                order = order.pin_memory()  # otherwise the copy would wait for the device
            order = order.to(self.data.device, non_blocking=True)
            self._last_permutation = epoch, order
        return order


def prepare(batch: Batch, device: torch.device, flip: bool = False) -> Batch:
    """Moves a batch to the device. Its (N, C, H, W) uint8 images become float32 in [-1, 1], in channels-last layout.

    flip: each item is mirrored with probability 1/2. All images of an item are mirrored together, so that pairs still
    match.
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
    """Divides a batch into `count` parts, in order, for gradient accumulation.

    All turns of a step must get the same objects, because a system remembers the fakes of each part (`gan.once`).
    """
    if count == 1:
        return [batch]
    pieces = {name: tensor.tensor_split(count) for name, tensor in batch.items()}
    return [{name: tensors[number] for name, tensors in pieces.items()} for number in range(count)]
