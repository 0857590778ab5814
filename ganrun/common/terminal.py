"""terminal: the one way to people's eyes. Text passes, codes that would command a terminal do not.

Names come from anywhere: folders, files in archives, classes, yaml, the errors of other libraries. So they are not
cleaned one by one where they are printed, but all at once: standard output, standard error and train.log.
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
    """A stream that shows text alone; lines and tabs stay. All else about it is the stream's own."""

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
    """Within this block, all that this process prints is text alone."""
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
    """A progress bar: it moves the cursor, so it speaks to the terminal itself."""
    from tqdm import tqdm  # 20 ms, which `ganrun --help` need not wait for

    return tqdm(*parts, file=getattr(sys.stderr, "_wrapped", sys.stderr), **settings)


class OneLine(logging.Formatter):
    """A message is one line, whatever the names in it hold; a traceback keeps its lines."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = printable(record.message)
        return super().formatMessage(record)

    def formatException(
        self,
        ei: tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None],
    ) -> str:
        return printable(super().formatException(ei), keep="\n\t")


class LogFile(logging.FileHandler):
    """train.log: UTF-8 with plain line ends on every machine, added to where it is a file of one name, never by a link.

    What UTF-8 has not, such as the bytes of a file's name in another encoding, is written as an escape.
    """

    def _open(self) -> Any:
        return append(Path(self.baseFilename), newline="\n")

    def handleError(self, record: logging.LogRecord) -> None:
        """A full disk is told by what has to be written there: a checkpoint. The log never ends a run, or prints."""
