"""How long a test waits: as long as any machine needs. Limits of time lie in benchmarks/."""

from __future__ import annotations

import time
from collections.abc import Callable

HANG = 600  # seconds: no machine is so slow that an honest answer takes so long


def until(true: Callable[[], bool]) -> None:
    """Returns as soon as it is true."""
    for _ in range(100 * HANG):
        if true():
            return
        time.sleep(0.01)
    raise AssertionError("it never came true")
