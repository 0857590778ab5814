"""Places: the user's own cache folder (no torch here)."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def user_cache() -> Path:
    """ganrun's part of it; XDG_CACHE_HOME says where, as everywhere on Linux.

    A user without a home folder, as in some containers, has a folder among the temporary files.
    """
    place = os.path.expanduser(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    if not place.startswith("~"):
        return Path(place) / "ganrun"
    return Path(tempfile.gettempdir()) / f"ganrun-{os.getuid() if hasattr(os, 'getuid') else 'cache'}"
