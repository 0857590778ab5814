"""Collects what is logged within a block, as lines."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator


class Lines(list[str]):
    """Logged lines. `warnings`: those of level WARNING and above. `more`: further warnings that were only counted."""

    def __init__(self) -> None:
        super().__init__()
        self.warnings: list[str] = []
        self.more = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.append(record.getMessage())
        more = getattr(record, "more", 0)
        self.more += more
        self.warnings += self[-1:] if record.levelno >= logging.WARNING and not more else []


@contextlib.contextmanager
def captured_log(logger: str) -> Iterator[Lines]:
    """Collects what is logged within the block. Data are read before the run's log exists, so their lines wait here."""
    lines = Lines()
    listener = logging.Handler(logging.INFO)
    listener.emit = lines.emit  # type: ignore[method-assign]
    source = logging.getLogger(logger)
    source.addHandler(listener)
    before, source.propagate = source.propagate, False
    level = source.level
    source.setLevel(logging.INFO)
    try:
        yield lines
    finally:
        source.removeHandler(listener)
        source.propagate = before
        source.setLevel(level)
