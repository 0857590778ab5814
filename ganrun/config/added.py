"""A key that data sets of picture files have gained: runs of before it took the numbers of files as they were."""

from __future__ import annotations

from typing import Any

PICTURE_FILES = ("ganrun.data.folder.Folder", "ganrun.data.paired.Paired", "ganrun.data.unpaired.Unpaired")
TODAY, BEFORE = "convert", "ignore"


def with_profiles(node: Any, profiles: str) -> Any:
    """A config in which each data set of picture files that lacks `profiles` gets this value.

    A new run stores the key, so that a stored config without it is that of a run of before.
    """
    if not isinstance(node, dict):
        return node
    added = {"profiles": profiles} if node.get("_target_") in PICTURE_FILES else {}
    return {**added, **{key: with_profiles(value, profiles) for key, value in node.items()}}
