"""Prefetching: the next batches are loaded, in order, while the device computes."""

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
AHEAD = 3  # prefetched batches that may wait in pinned memory
DATA_LOGGER = "ganrun.data"  # a worker process sends the warnings of this logger to the main process with its batch


def pinned(batch_at: Callable[[int], Batch], step: int) -> Iterator[Batch]:
    """The batches from `step` on, copied to pinned memory by a thread that is at most `AHEAD` batches ahead.

    When the thread raises an exception for a batch, it is raised here in the place of this batch.
    """
    ready: queue.Queue[Batch | BaseException] = queue.Queue(AHEAD)
    stopped = threading.Event()

    def put(item: Batch | BaseException) -> None:
        while not stopped.is_set():  # a plain put would block for ever when nobody reads the queue any more
            try:
                return ready.put(item, timeout=0.1)
            except queue.Full:
                pass

    def gather() -> None:
        try:
            for number in itertools.count(step):
                if stopped.is_set():
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
        stopped.set()


def decoded(
    take: Callable[[int, Tensor], Batch], indices_at: Callable[[int], Tensor], step: int, processes: int, pin: bool
) -> Iterator[Batch]:
    """The batches from `step` on, loaded by worker processes. Raises OSError when a worker cannot read a file.

    take: a step and its (N,) indices -> a batch. indices_at: a step -> the (N,) indices of its batch. processes: the
    number of workers; 0 loads in this process. pin: copy the batches to pinned memory.
    """

    def own_indices(number: int) -> tuple[int, Tensor]:
        return number, indices_at(
            number
        ).clone()  # with a slice, the indices of the whole epoch would be sent to a worker

    loader = DataLoader(
        Taken(take),
        batch_size=None,
        sampler=map(own_indices, itertools.count(step)),  # type: ignore[arg-type]  # endless, so it has no length
        num_workers=processes,
        prefetch_factor=max(2, -(-AHEAD // processes)) if processes else None,
        pin_memory=pin,
        worker_init_fn=start_worker if processes else None,
        multiprocessing_context=workers.FORKS if processes else None,
        generator=torch.Generator(),  # otherwise the loader takes its seed from the random state of the training
    )
    logged: set[str] = set()
    for batch, warnings, failure in raise_if_killed(loader):
        for line in warnings:
            if line not in logged:
                log.warning("%s", line)
            logged.add(line)
        if failure:
            raise OSError(failure)
        yield batch


def raise_if_killed(loader: DataLoader[Any]) -> Iterator[tuple[Batch, list[str], str]]:
    """The items of the loader. Raises OSError when a worker process was killed."""
    try:
        yield from loader
    except RuntimeError as error:
        if "exited unexpectedly" not in str(error) and "killed by signal" not in str(error):
            raise
        line = str(error).splitlines()[0]
        raise OSError(f"{line}: was there too little memory? dataset.workers=1 needs the least") from None


class Taken(Items[Any]):
    """For the worker processes: a step and its (N,) indices -> (batch, lines of warnings, error message or "")."""

    def __init__(self, take: Callable[[int, Tensor], Batch]) -> None:
        self.take = take

    def __getitem__(self, asked: tuple[int, Tensor]) -> tuple[Batch, list[str], str]:
        try:
            return self.take(*asked), collected_warnings(), ""
        except OSError as error:
            return {}, collected_warnings(), str(error)


class WarningCollector(logging.Handler):
    """Collects warnings in a worker process, which sends them to the main process."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


COLLECTOR = WarningCollector()


def collected_warnings() -> list[str]:
    """The warnings since the last call."""
    lines, COLLECTOR.lines = COLLECTOR.lines, []
    return lines


def start_worker(number: int) -> None:
    """Prepares a worker process: it has one thread, and it collects its warnings instead of printing them."""
    torch.set_num_threads(1)
    workers.start_worker()
    logger = logging.getLogger(DATA_LOGGER)
    logger.handlers, logger.propagate = [COLLECTOR], False
