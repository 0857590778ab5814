"""Batches: their content, their order, and their way to the device."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Protocol, TypedDict

import torch
from torch import Tensor

from ganrun.common.images import HALF
from ganrun.common.seeding import Purpose, generator, mix
from ganrun.data.loading.prefetch import Batch, decoded, pinned


class Labelled(TypedDict, total=False):
    """image: (N, C, H, W) float in [-1, 1]. label: (N,) int64; absent when the data have no labels."""

    image: Tensor
    label: Tensor


class Takes(Protocol):
    """What `Stream` needs from a data set.

    device: the device of its indices and batches. workers: the number of processes that decode its items; None when the
    items are decoded already. pinned: whether batches are copied to pinned memory first.
    take: (N,) indices -> a batch. Data with `crops` get a key for each item, too. transform: finishes a batch on the
    training device.
    """

    device: torch.device
    pinned: bool

    @property
    def workers(self) -> int | None: ...

    def __len__(self) -> int: ...

    def take(self, indices: Tensor, keys: Sequence[int] | None = None) -> Batch: ...

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
        self.cropped = getattr(data, "crops", None) is not None
        # crops of one picture differ, so that a batch may show a picture more than once
        if batch_size > len(data) and not self.cropped:
            raise ValueError(f"batch_size={batch_size} is larger than the data: {len(data)} images")
        if batch_size % world_size:
            near = -(-batch_size // world_size) * world_size
            raise ValueError(f"batch_size={batch_size} is not divisible by the {world_size} ranks: try {near}")
        self.data, self.batch_size, self.seed = data, batch_size, seed
        self.rank, self.world_size = rank, world_size
        self._last_permutation = -1, torch.empty(0, dtype=torch.int64)  # (epoch, its order)

    def __getitem__(self, step: int) -> Batch:
        """This rank's share of batch `step`: uint8 images, on the device of the data."""
        return self.load(step, self.indices(step))

    @property
    def on_device(self) -> bool:
        """Whether the data are on an accelerator. Batches are then gathered there, too."""
        return self.data.device.type != "cpu"

    def indices(self, step: int) -> Tensor:
        """(batch_size / world_size,) int64: the indices of this rank's share of batch `step`, on the data's device."""
        start = self.start(step)
        return self._indices(start, start + self.batch_size // self.world_size)

    def load(self, step: int, indices: Tensor) -> Batch:
        """The items at the (N,) indices of this rank's share of batch `step`."""
        return self.data.take(indices, self.keys(step, indices)) if self.cropped else self.data.take(indices)

    def keys(self, step: int, indices: Tensor) -> list[int]:
        """For each item of this rank's share of batch `step` the key of its crop: a function of seed, epoch and index.

        The step decides the epoch. An item is in an epoch once, so each of its crops is another one, on all ranks.
        """
        start = self.start(step)
        epochs = [(start + offset) // len(self.data) for offset in range(len(indices))]
        return [mix(self.seed, Purpose.CROPS, *pair) for pair in zip(epochs, indices.tolist(), strict=True)]

    def start(self, step: int) -> int:
        """The position of this rank's first item of batch `step`, counted over all epochs."""
        return step * self.batch_size + self.rank * (self.batch_size // self.world_size)

    def starting_at(self, step: int) -> Iterator[Batch]:
        """The batches from `step` on. They are prefetched when the items are decoded or copied to pinned memory."""
        if self.data.workers is not None:
            return decoded(self.load, self.indices, step, self.data.workers, self.data.pinned)
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


def prepare(batch: Batch, device: torch.device, flip: bool = False, turns: bool = False) -> Batch:
    """Moves a batch to the device. Its (N, C, H, W) images become floats in [-1, 1], in channels-last layout.

    uint8 and uint16 are divided by half of their white; floats are in [-1, 1] already and keep their type.

    flip: each item is mirrored with probability 1/2. turns: each item, which is square, is turned by 0 to 3 quarter
    turns. All images of an item are mirrored and turned together, so that pairs still match.
    """
    moved = {name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()}
    images = {name: tensor for name, tensor in moved.items() if tensor.ndim == 4}
    count = len(next(iter(images.values()))) if images else 0
    mirrored = torch.rand(count, device=device) < 0.5 if flip and images else None
    quarters = torch.randint(4, (count,), device=device) if turns and images else None
    for name, image in images.items():
        half = HALF.get(image.dtype)
        image = image.to(torch.float32 if half else image.dtype, memory_format=torch.channels_last)
        image = image.mul_(1 / half).sub_(1) if half else image
        if mirrored is not None:
            image = torch.where(mirrored[:, None, None, None], image.flip(3), image)
        moved[name] = image if quarters is None else turned(image, quarters)
    return moved


def turned(images: Tensor, quarters: Tensor) -> Tensor:
    """(N, C, S, S) images, (N,) of 0 to 3 -> each image after so many quarter turns, against the clock."""
    found = images
    for count in (1, 2, 3):
        found = torch.where((quarters == count)[:, None, None, None], images.rot90(count, (2, 3)), found)
    return found.contiguous(memory_format=torch.channels_last)


def cut(batch: Batch, count: int) -> list[Batch]:
    """Divides a batch into `count` parts, in order, for gradient accumulation.

    All turns of a step must get the same objects, because a system remembers the fakes of each part (`gan.once`).
    """
    if count == 1:
        return [batch]
    pieces = {name: tensor.tensor_split(count) for name, tensor in batch.items()}
    return [{name: tensors[number] for name, tensors in pieces.items()} for number in range(count)]
