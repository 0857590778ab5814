"""logs: train.log, the same text on every machine."""

from __future__ import annotations

import logging
from typing import IO


class LogFile(logging.FileHandler):
    """In UTF-8 with plain line ends, whatever the locale and the system; it never ends a run, and never prints.

    What UTF-8 has not, such as the bytes of a file's name in another encoding, is written as an escape.
    """

    def _open(self) -> IO[str]:  # type: ignore[override]
        return open(self.baseFilename, self.mode, encoding="utf-8", errors="backslashreplace", newline="\n")

    def handleError(self, record: logging.LogRecord) -> None:
        """A full disk is told by what has to be written there: a checkpoint."""
