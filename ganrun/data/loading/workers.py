"""Worker processes, which decode pictures in the background. This file does not import torch."""

from __future__ import annotations

import ctypes
import signal
import sys

FORKS = "fork" if sys.platform == "linux" else None  # on other systems forking is not safe, and not Python's default
END_WITH_PARENT = 1  # PR_SET_PDEATHSIG of Linux's prctl


def start_worker() -> None:
    """Called in a new worker process: it ignores signals, which its parent handles, and it ends when its parent ends.

    A forked worker also holds the file locks of its parent, so it must not live longer than a run that was killed.
    """
    for name in ("SIGINT", "SIGTERM", "SIGUSR1"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    if FORKS:
        ctypes.CDLL(None).prctl(END_WITH_PARENT, signal.SIGKILL)
