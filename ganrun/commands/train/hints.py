"""hints: what to do with a run when it has ended, as lines that work as they are printed."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ganrun.checkpoints.find import newest
from ganrun.common.quoting import shell_word
from ganrun.config.build import FROM_A_FILE, targets


def hints(
    folder: Path, config: Mapping[str, Any], step: int, translates: bool, config_dir: Path | None = None
) -> Iterator[str]:
    """Lines for the end of a run: its last grid, and the command that makes pictures with it, where it was saved."""
    grid = folder / f"grids/step_{step:06d}.png"
    if grid.exists():
        yield f"look at    {shlex.quote(shown(grid))}"
    if not newest(folder):
        yield "nothing was saved: none of its hooks saves checkpoints; hooks=default and hooks=quiet do"
    elif translates:
        command = f"ganrun apply {shell_word('ckpt', shown(folder))} input=PICTURES out=FOLDER"
        yield " ".join(["apply it  ", command, *own(config, config_dir)])
    else:
        yield " ".join(["draw more ", f"ganrun sample {shell_word('ckpt', shown(folder))}", *own(config, config_dir)])


def own(config: Mapping[str, Any], config_dir: Path | None) -> Iterator[str]:
    """The words by which a checkpoint may name the user's own classes, and they are found."""
    packages = sorted({target.split(".")[0] for target in targets(config["model"], outside=FROM_A_FILE)})
    if packages:
        yield shlex.quote(f"trust={packages[0]}" if len(packages) == 1 else f"trust=[{','.join(packages)}]")
        if config_dir is not None:
            yield f"--config-dir {shlex.quote(shown(config_dir))}"


def shown(path: Path) -> str:
    """As seen from here, where it lies below."""
    if not path.is_relative_to(Path.cwd()):
        return str(path)
    short = os.path.relpath(path)
    return str(path) if short[0] in "~-" else short  # a home, a flag
