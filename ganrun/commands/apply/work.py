"""Translates the pictures of one command: read, translated and written at the same time, reported in order."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

from torch import Tensor

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
BYTES = 2**30  # of the pictures on their way; one more picture a worker may come on top
COPIES = 12  # bytes that a byte of a picture needs on its way: float32 outputs, and their copies


@dataclass(frozen=True)
class Album:
    """The pictures of one command, their targets, and where the outputs go."""

    given: Pictures
    found: Pictures | None
    names: Mapping[str, str]  # {input: output}
    out: Path
    channels: int
    span: Span | None
    strips: bool
    about: Mapping[str, object]  # for the headers of the outputs

    def protected(self) -> set[Path]:
        """The files that are read: no output may replace one."""
        trees = [held for held in (self.given, self.found) if held is not None and isinstance(held.source, Tree)]
        return {held.source.root.resolve() / picture.name for held in trees for picture in held.listed}

    def targets(self) -> dict[str, Picture]:
        return {} if self.found is None else partners(self.given, self.found)

    def opened(self, place: Pictures, picture: Picture) -> Read:
        return read_picture(place.source.read(picture), self.channels, self.span)

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
        self.window = AHEAD * workers + 2 * together * len(networks)
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
            for thread in threads:
                thread.join()
            if self.record is not None and self.record.begun:
                self.record.write()
        return self.report

    def run(self) -> None:
        listed = self.album.given.listed
        known = {} if self.record is None else dict(self.record.done)
        left = iter(listed)
        pending: deque[Item] = deque()
        with Progress(len(listed), len(known)) as progress:
            while True:
                while self.has_room(pending) and (picture := next(left, None)) is not None:
                    pending.append(self.start(picture, known.get(picture.name)))
                if not pending:
                    break
                while not pending[0].outcome.done():
                    self.events.get()
                    if self.has_room(pending):
                        break
                while pending and pending[0].outcome.done():
                    progress.update(self.collect(pending.popleft()))

    def has_room(self, pending: Sequence[Item]) -> bool:
        """Whether another picture may be read."""
        unread = sum(not item.is_read for item in pending)
        held = sum(item.held for item in pending if not item.outcome.done())
        return len(pending) < self.window and unread < self.workers and (held < BYTES or not held)

    # -- the way of one picture ---------------------------------------------------------------------------------------

    def start(self, picture: Picture, known: Entry | None) -> Item:
        item = Item(picture, self.album.names[picture.name])
        if known is not None:
            item.loaded.cancel()
            item.outcome.set_result(known)
            return item
        item.loaded = self.hands.submit(self.read, item)
        item.loaded.add_done_callback(self.tell)
        self.feed.put(item)
        return item

    def tell(self, _: Future[Loaded] | Future[Entry]) -> None:
        self.events.put(None)

    def read(self, item: Item) -> Loaded:
        """By a worker. A damaged or hostile file makes Pillow and zipfile raise anything."""
        read = self.album.opened(self.album.given, item.picture)
        target, note = self.target(item.picture)
        item.pixels = read.pixels.shape[2] * read.pixels.shape[3]
        item.held = COPIES * (read.pixels.nbytes + (0 if target is None else target.pixels.nbytes))
        return Loaded(read, target, note)

    def target(self, picture: Picture) -> tuple[Read | None, str | None]:
        """The target, or why there is none where one is wanted."""
        if self.album.found is None:
            return None, None
        if picture.name not in self.targets:
            return None, "no target of this name"
        try:
            return self.album.opened(self.album.found, self.targets[picture.name]), None
        except Exception as error:  # a damaged or hostile file, as in `read`
            return None, f"its target: {in_one_line(error)}"

    def finish(self, item: Item, output: Tensor | BaseException) -> None:
        """By the thread of a network: hands an output to a worker, who writes it."""
        if isinstance(output, BaseException):
            item.outcome.set_exception(output)
            self.tell(item.outcome)
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
        item.loaded = Future()  # the pixels may go now, however long an earlier picture takes
        item.loaded.cancel()
        self.tell(item.outcome)

    def written(self, item: Item, after: Tensor) -> Entry:
        album, (before, target, note) = self.album, item.loaded.result()
        file = album.place(item.name)
        if file.resolve() in self.protected:
            raise ValueError("its output would overwrite a picture of input= or target=")
        if self.record is not None:
            self.record.begin()
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
            write_strip(panels, place, album.about, album.out)
        source, wanted = stamp(item.picture), stamp(self.targets.get(item.picture.name))
        assert source is not None
        return Entry(source, wanted, file.stat().st_size, before.colour != (album.channels == 3), row, note)

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
        if self.record is None:
            return 1
        self.record.add(name, entry, self.networks[0].plan.side)
        return 1


def workers_for(asked: int | str) -> int:
    """Threads that read and write pictures: as many as asked for, else one for each core, at most 8."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(8, cores)) if isinstance(asked, str) else asked
