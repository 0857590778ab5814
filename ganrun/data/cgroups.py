"""Control groups: how much memory the Linux cgroups of this process still allow. This file does not import torch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

MEMBERSHIP, MOUNTED = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
# the files with limit and use, and the entry of memory.stat for cached files
NEW = ("memory.max", "memory.current", "inactive_file")  # cgroups version 2
OLD = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")  # cgroups version 1


def bytes_left(membership: Path = MEMBERSHIP, mounted: Path = MOUNTED) -> int | None:
    """Bytes of memory that this process may still use; None when no group has a limit.

    The groups above the process's own group have limits, too; the smallest remainder counts. Cached files count as
    free, because the kernel drops them when memory is needed.
    """
    found = []
    for folder, names in groups(membership, mounted):
        try:
            limit, used = (int((folder / name).read_text(encoding="utf-8")) for name in names[:2])
        except (OSError, ValueError):  # the group has no memory controller, or its limit is "max"
            continue
        found.append(max(0, limit - used + cached_files(folder, names[2])))
    return min(found, default=None)


def groups(membership: Path, mounted: Path) -> Iterator[tuple[Path, tuple[str, str, str]]]:
    """The folders of this process's group and of all groups above it, and the names of their files.

    Some of the folders may not exist: in a container, the path may be that of the host.
    """
    try:
        lines = membership.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        root, names = (mounted / "memory", OLD) if controllers else (mounted, NEW)
        own = PurePosixPath(path.lstrip("/"))
        for folder in (own, *own.parents):
            yield root / folder, names


def cached_files(folder: Path, name: str) -> int:
    """Bytes of cached files that a group holds and the kernel may drop."""
    try:
        counts = dict(line.split() for line in (folder / "memory.stat").read_text(encoding="utf-8").splitlines())
        return int(counts.get(name, 0))
    except (OSError, ValueError):
        return 0
