"""Refuses links and special files in a run's folder that would redirect writes to another place. Writes nothing."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from ganrun.common.errors import UserError
from ganrun.common.regular_files import kind
from ganrun.common.untrusted import MAX_MEMBERS

OURS = ("checkpoints", "grids", ".hydra")  # the folders in a run's folder that are read or written
APPENDED = re.compile(r".+\.log|metrics\.jsonl|\.lock|study\.csv|.*tfevents.*", re.DOTALL)  # other files are replaced
SIGNS = ("checkpoints/last.pt", "last.pt", "metrics.jsonl", "status.json", ".hydra/config.yaml")  # of a run's folder
ABOVE = 4  # folders above a place that are looked at
LEVELS = 6  # of a sweep's folder
WAY_OUT = "remove it, or copy the files that you trust into a folder of your own"
OTHER_DISK = "for another disk, move the whole run there and give that path (a run's folder itself may be a link)"


def refuse_unsafe(folder: Path, levels: int = 1) -> None:
    """Raises UserError for a link, a pipe, a socket or a device in a run's folder, where we would read or write.

    Also for a second name (a hard link) of a file that grows, such as train.log; checkpoints may have one. `folder`
    itself may be a link: its user named it. With `levels` above 1 the folders in it are looked at too: a sweep's jobs.
    """
    for count, (name, entry) in enumerate(members(folder, "", levels)):
        if count >= MAX_MEMBERS:
            raise UserError(f"{folder} holds more than {MAX_MEMBERS:,} files: it is no run's folder; choose another")
        if problem := problem_of(entry):
            raise UserError(
                f"{folder}: {name} in it is {problem}, so writing there may lead elsewhere: {way_out(entry)}"
            )


def way_out(entry: os.DirEntry[str]) -> str:
    """What the user can do about a refused entry; a link to a folder may be the user's own."""
    own = entry.name in OURS and entry.is_symlink() and entry.is_dir()
    return f"{WAY_OUT}; {OTHER_DISK}" if own else WAY_OUT


def members(folder: str | Path, prefix: str, levels: int) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """(path in the folder, entry) of what is looked at; no link is followed."""
    deeper = []
    with os.scandir(folder) as entries:
        for entry in entries:
            yield prefix + entry.name, entry
            if (levels > 1 or entry.name in OURS) and entry.is_dir(follow_symlinks=False):
                deeper.append(entry)
    for entry in deeper:
        # a folder of ours holds files alone
        if not prefix or levels > 1:
            yield from members(entry.path, f"{prefix}{entry.name}/", levels - 1)


def problem_of(entry: os.DirEntry[str]) -> str | None:
    """What is wrong with a member; None if nothing is, or if it is gone: a run that goes on replaces its files."""
    try:
        return _problem_of(entry)
    except FileNotFoundError:
        return None


def _problem_of(entry: os.DirEntry[str]) -> str | None:
    if entry.is_symlink():
        return "a symbolic link"
    if getattr(entry, "is_junction", bool)():  # Windows
        return "a junction"
    if entry.is_dir(follow_symlinks=False):
        return None
    if not entry.is_file(follow_symlinks=False):
        return kind(entry.stat(follow_symlinks=False).st_mode)
    grows = APPENDED.fullmatch(entry.name) is not None
    return "a file with a second name elsewhere (a hard link)" if grows and os.lstat(entry.path).st_nlink > 1 else None


def refuse_unsafe_around(place: Path) -> None:
    """The same check for `place` and the folders above it, where they are folders of runs."""
    # as written without "..", and as the system sees it: a link may lie on the way
    roots = (Path(os.path.abspath(place)), Path(os.path.realpath(place)))
    for folder in dict.fromkeys(folder for root in roots for folder in (root, *root.parents)[: ABOVE + 1]):
        if folder.is_dir() and any(os.path.lexists(folder / sign) for sign in SIGNS):
            refuse_unsafe(folder)


def what_is_there(path: Path) -> str | None:
    """In words, what stands where a folder should be; None for a folder, or nothing."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return "a link that leads nowhere" if os.path.islink(path) else None
    except OSError:
        return None  # whoever writes there will say it
    return None if stat.S_ISDIR(mode) else kind(mode)
