"""`ganrun info`: the facts about a machine that a bug report needs."""

from __future__ import annotations

import os
import platform

from ganrun import __version__
from ganrun.common.types import Config
from ganrun.common.versions import EXTRAS, PACKAGES, devices, version


def report(config: Config) -> str:
    """Versions, devices and extras, a line each."""
    _leave_a_removed_folder()
    lines = [f"ganrun       {__version__}", f"python       {platform.python_version()} on {platform.platform()}"]
    lines += [f"{name:<12} {version(name) or 'missing'}" for name in PACKAGES]
    lines += [f"device       {line}" for line in devices()]
    for extra, packages in EXTRAS.items():
        there = all(version(package) for package in packages)
        lines.append(
            f"[{extra}]".ljust(13) + ("installed" if there else f"not installed: pip install 'ganrun[{extra}]'")
        )
    return "\n".join(lines)


def _leave_a_removed_folder() -> None:
    """Go to the root folder if the current folder is gone: torch's libraries would end the process."""
    try:
        os.getcwd()
    except OSError:
        os.chdir(os.sep)
