"""groups: what the control groups of this process leave of the machine's memory (Linux; no torch here)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

MEMBERSHIP, MOUNTED = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
NEW = ("memory.max", "memory.current", "inactive_file")
OLD = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def bytes_left(membership: Path = MEMBERSHIP, mounted: Path = MOUNTED) -> int | None:
    """Bytes until the narrowest group is full; None where there is no group with a limit.

    Each group above this process's own has a limit too. What files take counts as free: it is given up when asked for.
    """
    found = []
    for folder, names in groups(membership, mounted):
        try:
            limit, used = (int((folder / name).read_text(encoding="utf-8")) for name in names[:2])
        except (OSError, ValueError):  # no group of memory, or "max"
            continue
        found.append(max(0, limit - used + of_files(folder, names[2])))
    return min(found, default=None)


def groups(membership: Path, mounted: Path) -> Iterator[tuple[Path, tuple[str, str, str]]]:
    """This process's group and all above it; in a container their paths may be those of the machine outside."""
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


def of_files(folder: Path, name: str) -> int:
    """Bytes of files that a group has read and may forget."""
    try:
        counts = dict(line.split() for line in (folder / "memory.stat").read_text(encoding="utf-8").splitlines())
        return int(counts.get(name, 0))
    except (OSError, ValueError):
        return 0
