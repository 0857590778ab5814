"""The environment variables that torchrun sets: rank, world size, restarts. No torch."""

from __future__ import annotations

import os


def number(name: str, otherwise: int = 0) -> int:
    """A whole number from an environment variable; `otherwise` if it is not set."""
    value = os.environ.get(name, "")
    return int(value) if value.isdecimal() else otherwise


def launched() -> bool:
    """Whether torchrun, or something that speaks like it, started this process."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ and "MASTER_ADDR" in os.environ


def rank() -> int:
    return number("RANK") if launched() else 0


def size() -> int:
    return number("WORLD_SIZE", 1) if launched() else 1


def local_rank() -> int:
    """The number of this process among those of its machine."""
    return number("LOCAL_RANK")


def local_size() -> int:
    """The number of processes of this run on this machine."""
    return max(1, number("LOCAL_WORLD_SIZE", 1)) if launched() else 1


def restarts() -> int:
    """How often torchrun has restarted the processes (`--max-restarts`)."""
    return number("TORCHELASTIC_RESTART_COUNT")


def speaker() -> str:
    """The prefix of a line on stderr. Rank 0 needs no number."""
    return f"ganrun: rank {rank()}: " if rank() else "ganrun: "
