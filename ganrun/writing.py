"""writing: files that are there as a whole or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A name beside `path` to write to. It takes the place of `path` when the block ends well, else it is removed."""
    temporary = path.with_name(f".{path.name}.part")
    try:
        yield temporary
        os.replace(temporary, path)  # a kill or a full disk leaves no half of a file
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
