"""Places: the user's own cache folder (no torch here)."""

from __future__ import annotations

import os
from pathlib import Path


def user_cache() -> Path:
    """ganrun's part of it; XDG_CACHE_HOME says where, as everywhere on Linux."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "ganrun"
