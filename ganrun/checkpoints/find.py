"""Finds the file that a checkpoint's name means. No torch, so that errors appear at once."""

from __future__ import annotations

import os
from pathlib import Path

from ganrun.common.errors import CheckpointError, UserError
from ganrun.common.regular_files import kind


def find(reference: str | os.PathLike[str], runs: str | os.PathLike[str] = "outputs") -> Path:
    """A checkpoint's path from a file, a run folder, or `last` (the newest run under `runs`).

    Raises CheckpointError that says where it looked.
    """
    if str(reference) == "last":
        there = (path for path in Path(runs).glob("**/checkpoints/last.pt") if path.is_file())  # no pipe, no dead link
        found = sorted(there, key=lambda path: path.stat().st_mtime)
        if not found:
            raise CheckpointError(f"last: there is no run with a checkpoint under {Path(runs)}/")
        return found[-1]
    path = Path(reference).expanduser()
    if not path.exists():
        raise CheckpointError(f"{path} does not exist: give a checkpoint, a run folder, or last")
    if path.is_file():
        return path
    if not path.is_dir():
        raise CheckpointError(f"{path} is {kind(path.stat().st_mode)}: give a checkpoint, a run folder, or last")
    if found := newest(path):
        return found[0]
    raise CheckpointError(f"{path} holds no checkpoints/last.pt: it is not the folder of a run that has saved")


def find_checkpoint(reference: str, key: str) -> Path:
    """Where the checkpoint is that a key such as `resume=` or `ckpt=` names. Raises UserError that names the key."""
    try:
        return find(reference)
    except CheckpointError as error:
        raise UserError(f"{key}={error}") from None


def newest(run: Path) -> list[Path]:
    """The checkpoints of a run's folder, the newest first: last.pt, then the numbered ones."""
    for folder in (run / "checkpoints", run):
        numbered = sorted(folder.glob("step_*.pt"), key=step_of, reverse=True)
        if found := [path for path in (folder / "last.pt", *numbered) if path.is_file()]:
            return found
    return []


def step_of(path: Path) -> int:
    """checkpoints/step_000100.pt -> 100; -1 for another name."""
    digits = path.stem.removeprefix("step_")
    return int(digits) if digits.isdecimal() and len(digits) < 20 else -1
