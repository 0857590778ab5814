"""A run that many tests want: trained once in this process, and copied to where each of them stands."""

from __future__ import annotations

import atexit
import contextlib
import functools
import shutil
import tempfile
from pathlib import Path

from ganrun.cli.main import main


@functools.cache
def kept(words: tuple[str, ...]) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="ganrun-tests-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    with contextlib.chdir(folder):
        assert main(["train", *words, "out=run"]) == 0
    return folder / "run"


def trained(*words: str, out: str = "run") -> Path:
    """The run of `ganrun train WORDS`, as `out` in the current folder. WORDS name no relative path."""
    return Path(shutil.copytree(kept(words), out)).absolute()
