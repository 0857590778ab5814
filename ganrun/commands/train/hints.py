"""The lines at the end of a run: its last grid, and a command that can be copied."""

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
    """Lines for the end of a run: its last grid, and the command that makes pictures with the saved model.

    `translates`: the model takes pictures as inputs. `config_dir`: the folder of the user's own yaml, for models whose
    classes are found there.
    """
    grid = folder / f"grids/step_{step:06d}.png"
    if grid.exists():
        yield f"look at    {shlex.quote(short_path(grid))}"
    if not newest(folder):
        yield "nothing was saved: none of its hooks saves checkpoints; hooks=default and hooks=quiet do"
    elif translates:
        command = f"ganrun apply {shell_word('ckpt', short_path(folder))} input=PICTURES out=FOLDER"
        yield " ".join(["apply it  ", command, *words_for_own_classes(config, config_dir)])
    else:
        yield " ".join(
            [
                "draw more ",
                f"ganrun sample {shell_word('ckpt', short_path(folder))}",
                *words_for_own_classes(config, config_dir),
            ]
        )


def words_for_own_classes(config: Mapping[str, Any], config_dir: Path | None) -> Iterator[str]:
    """The words that allow a checkpoint to name the user's own classes, and that say where these are."""
    packages = sorted({target.split(".")[0] for target in targets(config["model"], outside=FROM_A_FILE)})
    if packages:
        yield shlex.quote(f"trust={packages[0]}" if len(packages) == 1 else f"trust=[{','.join(packages)}]")
        if config_dir is not None:
            yield f"--config-dir {shlex.quote(short_path(config_dir))}"


def short_path(path: Path) -> str:
    """The path relative to the current folder, if it lies in it; else the path as it is."""
    if not path.is_relative_to(Path.cwd()):
        return str(path)
    short = os.path.relpath(path)
    return str(path) if short[0] in "~-" else short  # a shell would expand ~, and read - as a flag
