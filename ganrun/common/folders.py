"""Checks and locks the folder of a run. No torch, so that errors appear at once."""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from ganrun.common.atomic import HOUR, clear, make_folder, remove
from ganrun.common.errors import UserError
from ganrun.common.folder_safety import LEVELS, refuse_unsafe, refuse_unsafe_around, what_is_there

log = logging.getLogger("ganrun")

AUTO = "auto"  # resume=auto: start there or go on there
OURS = ("checkpoints", "status.json", ".lock", ".hydra")  # by one of them a run's folder is known
START = {".hydra": ("config.yaml", "hydra.yaml", "overrides.yaml"), ".lock": (), "train.log": ()}  # before step 0
PROBE = ".ganrun-probe-"  # one that a kill left behind does not make a folder somebody else's


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Hold the folder's lock. The operating system releases it when the process ends, even after a kill.

    Raises UserError when another process has it, or when something in the folder would lead our writes elsewhere.
    """
    make_folder(folder)
    refuse_unsafe(folder)
    lock = FileLock(folder / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise UserError(
            f"out={folder}: another process is training there: wait for it, or choose another folder"
        ) from None
    except (OSError, NotImplementedError) as error:
        log.warning("%s cannot be locked (%s): a second process could write there too", folder, error)
    else:
        clear_unfinished(folder)
    try:
        yield
    finally:
        lock.release()


def clear_unfinished(folder: Path) -> None:
    """Remove what a killed run was writing. What another command may be writing now waits until it is an hour old."""
    for name in ("checkpoints", "grids"):
        clear(folder / name, folder)
    for name in ("metrics.jsonl", "status.json", "scores.json"):
        clear(folder, of=name)
    clear(folder, older=HOUR)


def check_run_folder(folder: Path, resume: str | None, sweep: bool = False) -> None:
    """Refuse a folder that is not for this run, is in use or cannot be written. Called before Hydra writes.

    With `sweep` it is the folder around those of the jobs of a sweep. Raises UserError.
    """
    if there := what_is_there(folder):
        raise UserError(f"out={folder} is {there}: a run needs a folder; choose another name")
    if not folder.is_dir():
        return check_writable(folder)
    occupied = is_occupied(folder)
    if resume is None and occupied and not ended_before_its_first_step(folder):
        way = f"resume={folder} to go on with a run that is there"
        if sweep:
            way = f"resume=auto to go on with its jobs; one alone goes on with resume={folder}/JOB, without -m"
        raise UserError(f"out={folder} is not empty: choose another folder, or {way}")
    if resume == AUTO and occupied and not any(os.path.lexists(folder / name) for name in OURS):
        raise UserError(f"out={folder} holds other files and no run: choose another folder")
    refuse_unsafe(folder)
    check_writable(folder)
    if os.path.lexists(folder / ".lock"):
        with alone_in(folder):
            pass


def check_sweep(folder: Path, resumes: bool) -> None:
    """The same for the folder of a sweep, whose jobs have folders in it: Hydra writes there before any job starts."""
    if resumes and folder.is_dir():
        refuse_unsafe(folder, LEVELS)
    check_writable(folder)


def is_occupied(folder: Path) -> bool:
    with os.scandir(folder) as entries:
        return any(not entry.name.startswith(PROBE) for entry in entries)


def ended_before_its_first_step(folder: Path) -> bool:
    """Whether a run was killed there before its first step: the same command may start again."""
    there = {path.name for path in folder.iterdir() if not path.name.startswith(PROBE)}
    return ".lock" in there and there <= START.keys()


@contextlib.contextmanager
def removed_if_interrupted(folder: Path) -> Iterator[None]:
    """What an interrupted start has left in `folder` is removed, and `folder` too, where that is all there is."""
    try:
        yield
    except KeyboardInterrupt:
        with contextlib.suppress(OSError):
            if ended_before_its_first_step(folder):
                for name, members in START.items():
                    for path in (*(folder / name / member for member in members), folder / name):
                        path.rmdir() if path.is_dir() and not path.is_symlink() else remove(path)
                folder.rmdir()
        raise


def check_home(key: str, value: str) -> None:
    """Raises UserError for ~name where there is no such user, and for ~ where this one has no home folder."""
    if value.startswith("~") and os.path.expanduser(value) == value:
        raise UserError(f"{key}={value}: {value.split('/')[0]} there is no such home folder: write the full path")


def check_current_folder() -> None:
    """Raises UserError where the current folder was deleted: relative paths have no meaning there."""
    try:
        os.getcwd()
    except OSError as error:
        raise UserError(f"the current folder was removed or cannot be read ({error.strerror}): cd to another") from None


def check_writable(target: Path) -> None:
    """Raises UserError that names the folder which cannot be written."""
    target = target.absolute()
    refuse_unsafe_around(target)
    there = next(folder for folder in (target, *target.parents) if folder.exists())
    try:
        with tempfile.TemporaryDirectory(dir=there, prefix=PROBE):
            pass
    except OSError as error:
        raise UserError(
            f"out={target} cannot be written: {there}: {error.strerror}: give a writable folder with out="
        ) from None
