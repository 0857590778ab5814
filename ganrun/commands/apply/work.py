"""Translates the pictures of one command: read, translated and written at the same time, reported in order."""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

from torch import Tensor

from ganrun.commands.apply import memory
from ganrun.commands.apply.album import Pictures, inside, is_file, partners
from ganrun.commands.apply.fidelity import measure
from ganrun.commands.apply.files import Read, read_picture, write_picture, write_strip
from ganrun.commands.apply.lanes import Feed, Item, Loaded, lane
from ganrun.commands.apply.network import Network
from ganrun.commands.apply.places import STRIPS
from ganrun.commands.apply.progress import Progress
from ganrun.commands.apply.record import Entry, Record, stamp
from ganrun.commands.apply.report import Report, in_one_line
from ganrun.common.errors import is_out_of_memory
from ganrun.common.untrusted import printable
from ganrun.data.channels import Span
from ganrun.data.sources import Picture, Tree
from ganrun.evaluation.fidelity import Fidelity

AHEAD = 4  # pictures on their way for each worker

CANCELLED: Future[Loaded] = Future()  # what is no longer there to be looked at, or never was
CANCELLED.cancel()


@dataclass(frozen=True)
class Album:
    """The pictures of one command, their targets, and where the outputs go."""

    given: Pictures
    found: Pictures | None
    names: Mapping[str, str]  # {input: output}
    out: Path
    channels: int | None  # None: each picture keeps its own
    span: Span | None
    to_srgb: bool  # as the pictures in training
    strips: bool
    about: Mapping[str, object]  # for the headers of the outputs

    def protected(self) -> set[Path]:
        """The files that are read: no output may replace one."""
        trees = [held for held in (self.given, self.found) if held is not None and isinstance(held.source, Tree)]
        return {held.source.root.resolve() / picture.name for held in trees for picture in held.listed}

    def targets(self) -> dict[str, Picture]:
        return {} if self.found is None else partners(self.given, self.found)

    def opened(self, data: bytes, channels: int | None = None) -> Read:
        """An input or, with the channels of its input, a target."""
        return read_picture(data, channels or self.channels, self.span, self.to_srgb)

    def converts(self, read: Read) -> bool:
        """Whether a grey picture is given to the network in colour, or the other way."""
        return self.channels is not None and read.colour != (self.channels == 3)

    def place(self, name: str) -> Path:
        """The file of an output. Raises ValueError for a name that leads out of the folder."""
        return self.out if is_file(self.out) else inside(self.out, name)


class Work:
    """Does the pictures that the record does not have yet.

    `workers` threads read and decode, and encode and write. Each network has a thread of its own. How many pictures are
    on their way is limited in number and in bytes. Results are taken in the order of the list, whoever is faster.
    """

    def __init__(
        self, album: Album, networks: Sequence[Network], judge: Fidelity, workers: int, record: Record | None
    ) -> None:
        self.album, self.networks, self.judge, self.workers, self.record = album, networks, judge, workers, record
        self.targets, self.protected = album.targets(), album.protected()
        self.report = Report(left_out=[printable(note) for note in album.given.source.notes])
        self.feed, self.events = Feed(), SimpleQueue[None]()
        self.hands = ThreadPoolExecutor(workers)
        together = max(network.most((1, 1, 16, 16)) for network in networks)
        self.window, self.bytes = AHEAD * workers + 2 * together * len(networks), memory.room()
        self.pending: deque[Item] = deque()
        self.stopped = False

    def do(self) -> Report:
        """Translate all pictures. A picture that cannot be done is left out and reported."""
        threads = [threading.Thread(target=lane, args=(network, self.feed, self.finish)) for network in self.networks]
        for thread in threads:
            thread.start()
        try:
            self.run()
        finally:
            self.stopped = True
            self.feed.stop()
            self.hands.shutdown(cancel_futures=True)
            for item in self.pending:
                item.loaded.cancel()
            for thread in threads:
                thread.join()
            if self.record is not None and self.record.begun:
                self.record.write()
        return self.report

    def run(self) -> None:
        listed = self.album.given.listed
        known = {} if self.record is None else dict(self.record.done)
        left, pending = iter(listed), self.pending
        with Progress(len(listed), len(known)) as progress:
            while True:
                while self.has_room(pending) and (picture := next(left, None)) is not None:
                    pending.append(self.start(picture, known.get(picture.name)))
                if not pending:
                    break
                while not pending[0].outcome.done():
                    self.admit(pending)
                    self.events.get()
                    if self.has_room(pending):
                        break
                while pending and pending[0].outcome.done():
                    progress.update(self.collect(pending.popleft()))

    def has_room(self, pending: Sequence[Item]) -> bool:
        """Whether another picture may be read."""
        unread = sum(not item.is_read for item in pending)
        held = sum(item.held for item in pending if not item.outcome.done())
        return len(pending) < self.window and unread < self.workers and (held < self.bytes or not held)

    def admit(self, pending: Sequence[Item]) -> None:
        """Decode what is read, in order, for as long as there is room for what the headers say; one in any case."""
        held = sum(item.held for item in pending if item.admitted and not item.outcome.done())
        for item in pending:
            if item.admitted or item.is_read:
                continue
            if not item.held or (held and held + item.held > self.bytes):
                return
            held += item.held
            item.admitted = True
            self.hands.submit(self.decode, item)

    # -- the way of one picture ---------------------------------------------------------------------------------------

    def start(self, picture: Picture, known: Entry | None) -> Item:
        item = Item(picture, self.album.names[picture.name])
        if known is not None:
            item.loaded = CANCELLED
            item.outcome.set_result(known)
            return item
        self.hands.submit(self.fetch, item)
        self.feed.put(item)
        return item

    def tell(self) -> None:
        self.events.put(None)

    def fetch(self, item: Item) -> None:
        """By a worker: reads the files, but decodes only their headers. Hostile files make Pillow raise anything."""
        try:
            target, item.note = self.target(item.picture)
            item.data = self.album.given.source.read(item.picture), target
            item.pixels, item.held = memory.needed(*item.data, self.networks[0].scale)
        except BaseException as error:  # `collect` decides
            item.data = None
            item.fail(error)
        self.tell()

    def target(self, picture: Picture) -> tuple[bytes | None, str | None]:
        """The file of the target, or why there is none where one is wanted."""
        if self.album.found is None:
            return None, None
        if picture.name not in self.targets:
            return None, "no target of this name"
        try:
            return self.album.found.source.read(self.targets[picture.name]), None
        except Exception as error:  # a damaged or hostile .zip
            return None, f"its target: {in_one_line(error)}"

    def decode(self, item: Item) -> None:
        """By a worker, once there is room."""
        assert item.data is not None
        (data, wanted), item.data = item.data, None
        try:
            read, target, note = self.album.opened(data), None, item.note
            if wanted is not None:
                try:
                    target = self.album.opened(wanted, read.pixels.shape[1])
                except Exception as error:  # a damaged or hostile file
                    note = f"its target: {in_one_line(error)}"
            item.srgb = self.album.to_srgb and any("to sRGB" in note for note in read.about.notes)
            item.succeed(Loaded(read, target, note))
        except BaseException as error:  # `collect` decides
            item.fail(error)
        self.tell()

    def finish(self, item: Item, output: Tensor | BaseException) -> None:
        """By the thread of a network: hands an output to a worker, who writes it."""
        if isinstance(output, BaseException):
            item.outcome.set_exception(output)
            self.tell()
            return
        try:
            self.hands.submit(self.write, item, output)
        except RuntimeError:  # the workers have ended, because the command ends early
            if not self.stopped:
                raise

    def write(self, item: Item, after: Tensor) -> None:
        """By a worker: writes the output, its strip and its row of numbers."""
        try:
            item.outcome.set_result(self.written(item, after))
        except BaseException as error:  # `collect` decides
            item.outcome.set_exception(error)
        item.loaded = CANCELLED  # the pixels may go now, however long an earlier picture takes
        self.tell()

    def written(self, item: Item, after: Tensor) -> Entry:
        album, (before, target, note) = self.album, item.loaded.result()
        file = album.place(item.name)
        if file.resolve() in self.protected:
            raise ValueError("its output would overwrite a picture of input= or target=")
        if self.record is not None:
            self.record.begin()
        with refusing():
            write_picture(after, file, album.about, None if file == album.out else album.out, before)
        row = None
        if target is not None:
            try:
                row = measure(item.name, before.pixels, after, target.pixels, self.judge)
            except ValueError as error:
                note = str(error)
        if album.strips:
            place = inside(album.out / STRIPS, item.name)
            panels = [before.pixels, after, *([] if target is None else [target.pixels])]
            with refusing():
                write_strip(panels, place, album.about, album.out)
        source, wanted = stamp(item.picture), stamp(self.targets.get(item.picture.name))
        assert source is not None
        return Entry(source, wanted, file.stat().st_size, album.converts(before), row, note)

    def collect(self, item: Item) -> int:
        """Enter the outcome of a picture into the report. Returns 1 if it was done now, for the progress bar."""
        name, report = item.picture.name, self.report
        error = item.outcome.exception()
        if error is not None:
            unreadable = not item.loaded.cancelled() and item.loaded.exception() is error
            own = isinstance(error, (ValueError, OSError)) or is_out_of_memory(error)  # a name, a size, no room for it
            if not unreadable and not own:
                raise error
            assert isinstance(error, Exception)
            report.left_out.append(f"{printable(name)}: {in_one_line(error)}")
            return 1
        entry = item.outcome.result()
        report.add(name, item.name, entry)
        if not item.pixels:
            report.kept += 1
            return 0
        report.pixels += item.pixels
        report.srgb += item.srgb
        if self.record is None:
            return 1
        self.record.add(name, entry, self.networks[0].plan.side)
        return 1


@contextlib.contextmanager
def refusing() -> Iterator[None]:
    """What a library raises for a picture that it cannot write becomes a ValueError: the others are done all the same.

    A header of the input may hold anything, and the writers of files answer with errors of many kinds.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, (ValueError, OSError)) or is_out_of_memory(error):
            raise
        raise ValueError(f"it cannot be written: {in_one_line(error)}") from error


def workers_for(asked: int | str) -> int:
    """Threads that read and write pictures: as many as asked for, else one for each core, at most 8."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(8, cores)) if isinstance(asked, str) else asked
