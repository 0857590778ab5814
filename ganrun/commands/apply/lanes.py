"""A network on each device, in a thread of its own: all are fed from one queue."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from ganrun.commands.apply.files import Read
from ganrun.commands.apply.network import Network
from ganrun.commands.apply.record import Entry
from ganrun.data.sources import Picture


class Loaded(NamedTuple):
    """What a reader has read for one picture."""

    input: Read
    target: Read | None
    note: str | None  # why there is no target where one is wanted


@dataclass
class Item:
    """One picture on its way through readers, networks and writers."""

    picture: Picture
    name: str  # of the output
    loaded: Future[Loaded] = field(default_factory=Future)
    outcome: Future[Entry] = field(default_factory=Future)
    data: tuple[bytes, bytes | None] | None = None  # the files of the input and the target, until they are decoded
    note: str | None = None  # why there is no target where one is wanted
    pixels: int = 0  # of the input; 0 until its header is read, and for what an earlier command has done
    held: int = 0  # bytes that it needs on its way; 0 until its header is read
    srgb: bool = False  # its colours were converted from another profile
    admitted: bool = False  # there is room for it, so it is decoded

    @property
    def is_read(self) -> bool:
        return self.loaded.done()

    def succeed(self, loaded: Loaded) -> None:
        if self.loaded.set_running_or_notify_cancel():  # else the command ends early
            self.loaded.set_result(loaded)

    def fail(self, error: BaseException) -> None:
        if self.loaded.set_running_or_notify_cancel():
            self.loaded.set_exception(error)


class Feed:
    """The pictures that wait for a network, in order."""

    def __init__(self) -> None:
        self.waiting: deque[Item] = deque()
        self.changed = threading.Condition()
        self.closed = False

    def put(self, item: Item) -> None:
        with self.changed:
            self.waiting.append(item)
            self.changed.notify()

    def close(self) -> None:
        """No more pictures come."""
        with self.changed:
            self.closed = True
            self.changed.notify_all()

    def stop(self) -> None:
        """Those that wait are not done."""
        with self.changed:
            self.waiting.clear()
        self.close()

    def take(self, most: Callable[[Sequence[int]], int]) -> list[Item]:
        """The next picture, with those behind it that are read, have its shape and fit into `most(shape)`.

        A power of two of them, so that there are few kinds of batches. Waits for a picture; [] after the last.
        """
        with self.changed:
            while not self.waiting and not self.closed:
                self.changed.wait()
            if not self.waiting:
                return []
            first = self.waiting.popleft()
        shape = shape_of(first)  # waits until it is read
        if shape is None:
            return [first]
        with self.changed:
            alike = 0
            for other in list(self.waiting)[: most(shape) - 1]:
                if not other.is_read or shape_of(other) != shape:
                    break
                alike += 1
            more = 2 ** ((alike + 1).bit_length() - 1) - 1
            return [first, *(self.waiting.popleft() for _ in range(more))]


def shape_of(item: Item) -> tuple[int, ...] | None:
    """The shape of a picture, once it is read; None if it was not, or has more than 8 bits."""
    # torch.cat takes no uint16
    pixels = None if item.loaded.exception() else item.loaded.result().input.pixels
    return tuple(pixels.shape) if pixels is not None and pixels.dtype == torch.uint8 else None


def next_of(feed: Feed, network: Network) -> list[Item]:
    """As `Feed.take`; [] also where the command ends early, which cancels what is not read yet."""
    try:
        return feed.take(network.most)
    except CancelledError:
        return []


Finish = Callable[[Item, Tensor | BaseException], None]


def lane(network: Network, feed: Feed, finish: Finish) -> None:
    """Translate pictures until there are no more. `finish` gets each item with its output or its error."""
    while items := next_of(feed, network):
        outputs: Sequence[Tensor | BaseException]
        if error := items[0].loaded.exception():
            outputs = [error]
        else:
            try:
                reads = [item.loaded.result().input for item in items]
                outputs = network.translate([item.picture.name for item in items], reads)
            except BaseException as raised:  # `collect` decides: a lane that ended would be waited for without end
                outputs = [raised] * len(items)
        for item, output in zip(items, outputs, strict=True):
            finish(item, output)
