"""The user's cache folder. This file does not import torch."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def user_cache() -> Path:
    """ganrun's folder in the user's cache folder: XDG_CACHE_HOME, or ~/.cache.

    Without a home folder, as in some containers, it is in the folder of temporary files.
    """
    place = os.path.expanduser(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    if not place.startswith("~"):
        return Path(place) / "ganrun"
    return Path(tempfile.gettempdir()) / f"ganrun-{os.getuid() if hasattr(os, 'getuid') else 'cache'}"
