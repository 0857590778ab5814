"""finding: which file a checkpoint's name means. No torch: a wrong name is said at once."""

from __future__ import annotations

import os
from pathlib import Path


class CheckpointError(ValueError):
    """The file is missing, damaged, or not a checkpoint of ganrun's; the message says which."""


def find(reference: str | os.PathLike[str], runs: str | os.PathLike[str] = "outputs") -> Path:
    """A checkpoint's path from a file, a run folder, or `last` (the newest run under `runs`).

    Raises CheckpointError that says where it looked.
    """
    if str(reference) == "last":
        found = sorted(Path(runs).glob("**/checkpoints/last.pt"), key=lambda path: path.stat().st_mtime)
        if not found:
            raise CheckpointError(f"last: there is no run with a checkpoint under {Path(runs)}/")
        return found[-1]
    path = Path(reference).expanduser()
    if not path.exists():
        raise CheckpointError(f"{path} does not exist: give a checkpoint, a run folder, or last")
    if path.is_file():
        return path
    for candidate in (path / "checkpoints" / "last.pt", path / "last.pt"):
        if candidate.is_file():
            return candidate
    raise CheckpointError(f"{path} holds no checkpoints/last.pt: it is not the folder of a run that has saved")
