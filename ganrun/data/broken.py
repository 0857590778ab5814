"""Broken pictures: each is named, and left out or refused. This file does not import torch."""

from __future__ import annotations

from collections.abc import Mapping

from ganrun.data.listing import Listing
from ganrun.data.sources import IN_FULL, warn_each


def check_broken(broken: str) -> bool:
    """Whether broken pictures are refused. Raises ValueError for a value that is not known."""
    if broken not in ("skip", "refuse"):
        raise ValueError(f"dataset.broken={broken} must be skip or refuse")
    return broken == "refuse"


def report(listing: Listing, faults: Mapping[int, str], broken: str) -> None:
    """One warning a broken image; raises ValueError when they are refused or when nothing else is left."""
    lines = [f"{listing.pictures[i].name!r} is broken: {why}" for i, why in faults.items()]
    if faults and (broken == "refuse" or len(faults) == len(listing)):
        more = f"; and {len(lines) - IN_FULL} more" if len(lines) > IN_FULL else ""
        raise ValueError(
            f"dataset.root={listing.source.root}: {len(lines)} of {len(listing)} images are broken, "
            f"mend or delete them: {'; '.join(lines[:IN_FULL])}{more}"
        )
    warn_each(lines)
