"""Removes terminal control codes from everything printed.

Names come from folders, archives, class names, yaml and errors of other libraries. So the streams are cleaned, not
each name: standard output, standard error and train.log.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any

from ganrun.common.atomic import append
from ganrun.common.untrusted import printable

if TYPE_CHECKING:
    from tqdm import tqdm


class Shown:
    """Wraps a stream and removes control codes from what is written; newlines and tabs stay."""

    def __init__(self, stream: IO[str]) -> None:
        self._wrapped = stream  # tqdm looks under this name for the stream that it shares a screen with

    def write(self, text: str) -> int:
        return self._wrapped.write(printable(text, keep="\n\t"))

    def writelines(self, lines: list[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wrapped, name)


@contextlib.contextmanager
def cleaned() -> Iterator[None]:
    """Within this block, control codes are removed from all that this process prints."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (
        stream if stream is None or isinstance(stream, Shown) else Shown(stream)  # type: ignore[assignment]
        for stream in before
    )
    try:
        yield
    except Exception:  # Python prints its traceback after this block
        sys.stdout = before[0]
        raise
    except BaseException:
        sys.stdout, sys.stderr = before
        raise
    sys.stdout, sys.stderr = before


def bar(*parts: Any, **settings: Any) -> tqdm:
    """A tqdm progress bar. It moves the cursor, so it writes to the original stream."""
    from tqdm import tqdm  # 20 ms, which `ganrun --help` need not wait for

    return tqdm(*parts, file=getattr(sys.stderr, "_wrapped", sys.stderr), **settings)


class OneLine(logging.Formatter):
    """Formats each message as one line; a traceback keeps its lines."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = printable(record.message)
        return super().formatMessage(record)

    def formatException(
        self,
        ei: tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None],
    ) -> str:
        return printable(super().formatException(ei), keep="\n\t")


class LogFile(logging.FileHandler):
    """train.log: UTF-8 with Unix line ends on every machine. Links and hard links are refused.

    Bytes that are not UTF-8, as in some file names, are written as escapes.
    """

    def _open(self) -> Any:
        return append(Path(self.baseFilename), newline="\n")

    def handleError(self, record: logging.LogRecord) -> None:
        """A log error never stops a run. A full disk is reported when a checkpoint cannot be written."""
