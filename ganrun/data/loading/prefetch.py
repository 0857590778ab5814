"""prefetch: batches made ready while the device works on others, in the order in which they were asked for."""

from __future__ import annotations

import itertools
import logging
import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as Items

from ganrun.data.loading import workers

log = logging.getLogger("ganrun")

Batch = dict[str, Tensor]
AHEAD = 3  # batches that wait in pinned memory
FETCHED = "ganrun.data"  # whose warnings a worker hands over with its batch


def pinned(batch_at: Callable[[int], Batch], step: int) -> Iterator[Batch]:
    """Batches from `step` on, gathered into pinned memory by a thread that is a few ahead.

    What it raises is raised here, in its turn.
    """
    ready: queue.Queue[Batch | BaseException] = queue.Queue(AHEAD)
    left = threading.Event()

    def put(item: Batch | BaseException) -> None:
        while not left.is_set():
            try:
                return ready.put(item, timeout=0.1)
            except queue.Full:
                pass

    def gather() -> None:
        try:
            for number in itertools.count(step):
                if left.is_set():
                    return
                put({name: tensor.pin_memory() for name, tensor in batch_at(number).items()})
        except BaseException as error:
            put(error)

    threading.Thread(target=gather, name="batches", daemon=True).start()
    try:
        while True:
            item = ready.get()
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        left.set()


def decoded(
    take: Callable[[Tensor], Batch], indices_at: Callable[[int], Tensor], step: int, processes: int, pin: bool
) -> Iterator[Batch]:
    """Batches from `step` on, taken by worker processes. Raises OSError for what a worker could not read."""

    def own_indices(number: int) -> Tensor:
        return indices_at(number).clone()  # of a slice the workers would be sent the whole epoch's

    loader = DataLoader(
        Taken(take),
        batch_size=None,
        sampler=map(own_indices, itertools.count(step)),  # type: ignore[arg-type]  # endless, and so without a length
        num_workers=processes,
        prefetch_factor=max(2, -(-AHEAD // processes)) if processes else None,
        pin_memory=pin,
        worker_init_fn=start_worker if processes else None,
        multiprocessing_context=workers.FORKS if processes else None,
        generator=torch.Generator(),  # else its seed would be drawn from training's randomness
    )
    said: set[str] = set()
    for batch, warnings, failure in alive(loader):
        for line in warnings:
            if line not in said:
                log.warning("%s", line)
            said.add(line)
        if failure:
            raise OSError(failure)
        yield batch


def alive(loader: DataLoader[Any]) -> Iterator[tuple[Batch, list[str], str]]:
    """What the loader gives. Raises OSError where a worker was killed."""
    try:
        yield from loader
    except RuntimeError as error:
        if "exited unexpectedly" not in str(error) and "killed by signal" not in str(error):
            raise
        line = str(error).splitlines()[0]
        raise OSError(f"{line}: was there too little memory? dataset.workers=1 takes the least") from None


class Taken(Items[Any]):
    """Indices -> the batch, what was warned of meanwhile, and why there is no batch."""

    def __init__(self, take: Callable[[Tensor], Batch]) -> None:
        self.take = take

    def __getitem__(self, indices: Tensor) -> tuple[Batch, list[str], str]:
        try:
            return self.take(indices), collected_warnings(), ""
        except OSError as error:
            return {}, collected_warnings(), str(error)


class WarningCollector(logging.Handler):
    """Keeps lines for the process that logs."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


COLLECTOR = WarningCollector()


def collected_warnings() -> list[str]:
    lines, COLLECTOR.lines = COLLECTOR.lines, []
    return lines


def start_worker(number: int) -> None:
    """A worker has one thread and logs nothing itself."""
    torch.set_num_threads(1)
    workers.start_worker()
    logger = logging.getLogger(FETCHED)
    logger.handlers, logger.propagate = [COLLECTOR], False
