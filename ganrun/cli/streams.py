"""Makes stdout and stderr safe: any text can be written, and a closed or full stream does not end a command."""

from __future__ import annotations

import errno
import io
import os
import sys

GONE = (errno.EPIPE, errno.EIO, errno.EBADF)  # the reader has seen enough: `| head -1`, a terminal that was closed


class Patient(io.TextIOWrapper):
    """A text stream that drops what is written after its first write error."""

    lost: OSError | None = None

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except OSError as error:
            self.give_up(error)
            return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            self.give_up(error)
        except ValueError:  # closed
            pass

    def give_up(self, error: OSError) -> None:
        """Sends the rest, and what is still in the buffer, to the null device."""
        self.lost = self.lost or error
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)


def soften_streams() -> None:
    """Write a character that the encoding lacks (× in ASCII) as an escape. An error would end the command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors != "backslashreplace":
            stream.reconfigure(errors="backslashreplace")


def keep_streams_usable() -> None:
    """At the start of a process: open descriptors 0, 1 and 2 where they are closed, and put safe streams on 1 and 2."""
    for descriptor in range(3):
        _open_if_closed(descriptor)
    sys.stdout = sys.__stdout__ = _patient(sys.stdout, 1)  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = _patient(sys.stderr, 2)  # type: ignore[misc]


def _open_if_closed(descriptor: int) -> None:
    """Without this the next file that is opened would get this number, and everything printed would go into it."""
    try:
        os.fstat(descriptor)
    except OSError:
        os.open(os.devnull, os.O_RDWR)  # the lowest number that is free: this one


def _patient(stream: object, descriptor: int) -> Patient:
    if not isinstance(stream, io.TextIOWrapper):  # None: it was closed when Python began
        stream = os.fdopen(descriptor, "w", encoding="utf-8", newline=None, closefd=False)
    encoding, by_line, through = stream.encoding, stream.line_buffering, stream.write_through
    return Patient(
        stream.detach(), encoding, "backslashreplace", newline=None, line_buffering=by_line, write_through=through
    )


def flushed() -> str | None:
    """Flush both. Returns why stdout could not be written (a full disk); None if all is well or its reader left."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    lost = getattr(sys.stdout, "lost", None)
    return None if lost is None or lost.errno in GONE else lost.strerror
