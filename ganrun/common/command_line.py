"""Which command line of this process runs now: the jobs of one sweep share it. No torch."""

from __future__ import annotations


class Line:
    """`number` counts the command lines that this process has begun, calls from Python included."""

    number = 0


def begin_line() -> None:
    """Called once where a command line, or a call from Python, begins."""
    Line.number += 1
