"""workers: processes of our own that decode pictures while this one does other things (no torch here)."""

from __future__ import annotations

import ctypes
import signal
import sys

FORKS = "fork" if sys.platform == "linux" else None  # elsewhere it is no longer safe, and not the default
END_WITH_PARENT = 1  # prctl's PR_SET_PDEATHSIG


def start_worker() -> None:
    """Leave signals to the process that started this one, and end with it.

    A forked worker holds that one's locks too: it must not outlive a killed run.
    """
    for name in ("SIGINT", "SIGTERM", "SIGUSR1"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    if FORKS:
        ctypes.CDLL(None).prctl(END_WITH_PARENT, signal.SIGKILL)
