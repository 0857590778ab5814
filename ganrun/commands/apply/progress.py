"""Progress of a folder: a bar with the time left on a terminal, and a line each minute elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any

from ganrun.common.terminal import bar

SECONDS = 60.0  # between two lines


class Progress:
    """Counts pictures. Pictures of an earlier command count as done, but not for the rate."""

    def __init__(self, total: int, initial: int) -> None:
        self.total, self.initial, self.done = total, initial, initial
        self.began = self.told = time.monotonic()
        # without a terminal tqdm is silent (disable=None)
        self.bar: Any = bar(total=total, initial=initial, unit="picture", disable=None, leave=False)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.bar.close()

    def update(self, count: int) -> None:
        self.done += count
        self.bar.update(count)
        now = time.monotonic()
        if self.bar.disable and now - self.told >= SECONDS:
            self.told = now
            print(f"ganrun: {self.line(now - self.began)}", file=sys.stderr, flush=True)

    def line(self, seconds: float) -> str:
        """120 of 1000 pictures, 2.1 images/s, about 7 min left."""
        rate = (self.done - self.initial) / seconds
        left = f", about {(self.total - self.done) / rate / 60:.0f} min left" if rate else ""
        return f"{self.done} of {self.total} pictures, {rate:.3g} images/s{left}"
