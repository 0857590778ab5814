"""Downloads: when one fails, the user gets an error of one line, and no empty folders are left."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def downloading(name: str, place: Path) -> Iterator[None]:
    """A context manager for the download of `name` to the folder `place`. Any error becomes a FileNotFoundError."""
    new = [path for path in (place, *place.parents) if not path.exists()]
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # torchvision prints each mirror that it tries
            yield
    except Exception as error:  # torchvision's RuntimeError, urllib's URLError, gdown's own kinds
        for path in new:
            with contextlib.suppress(OSError):  # rmdir removes empty folders only: finished files stay for the next try
                path.rmdir()
        raise FileNotFoundError(
            f"dataset.download=true: {name} could not be downloaded ({reason(error)}); "
            f"put its files into {place.absolute()} yourself"
        ) from error


def reason(error: Exception) -> str:
    """The last line of the error message, where torchvision puts the error of the network."""
    return (str(error).strip().splitlines() or [type(error).__name__])[-1].strip(" <>")
