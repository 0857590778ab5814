"""Downloads that either succeed or leave one line and no empty folders behind."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def downloading(name: str, place: Path) -> Iterator[None]:
    """Around a download of `name` to the folder `place`: whatever goes wrong becomes one FileNotFoundError."""
    new = [path for path in (place, *place.parents) if not path.exists()]
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # torchvision prints each mirror that it tries
            yield
    except Exception as error:  # torchvision's RuntimeError, urllib's URLError, gdown's own kinds
        for path in new:
            with contextlib.suppress(OSError):  # only empty folders go: a finished file is kept for the next try
                path.rmdir()
        raise FileNotFoundError(
            f"dataset.download=true: {name} could not be downloaded ({reason(error)}); "
            f"bring its files to {place.absolute()} by hand"
        ) from error


def reason(error: Exception) -> str:
    """The last line of an error, which is where torchvision puts what the network said."""
    return (str(error).strip().splitlines() or [type(error).__name__])[-1].strip(" <>")
