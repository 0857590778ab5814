"""Reads the checkpoint that a key such as `ckpt=` or `resume=` names, and checks that a run saved it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path

from ganrun.checkpoints import checkpoint, memory_limit
from ganrun.checkpoints.find import find_checkpoint, newest
from ganrun.checkpoints.stored_facts import check_facts, check_resumable
from ganrun.common import torchrun
from ganrun.common.errors import CheckpointError, DamagedError, UserError
from ganrun.common.types import Config
from ganrun.common.untrusted import check_config
from ganrun.config.build import FROM_A_FILE, names_only
from ganrun.config.moved import with_current_names
from ganrun.config.schema import check_stored


def load_checkpoint(reference: str, key: str) -> Config:
    """A checkpoint's state with its config; where a run's newest is damaged, of the one before it, and a line says so.

    Its weights are those of its config where that names only ganrun's own. That is not so for `init_from`, which uses
    no config, and for `resume`: who builds its system calls `memory_limit.require_fit`. Raises UserError that names
    the key.
    """
    path = find_checkpoint(reference, key)
    others = newest(path.parent)[1:] if path.name == "last.pt" else []
    try:
        state, damage = checkpoint.load(path), None
    except CheckpointError as error:
        found = first_undamaged(others) if isinstance(error, DamagedError) else None
        if found is None:
            raise UserError(f"{key}={error}") from None
        state, damage = found, error
    fits = check_run(state, path, key)
    if damage and not torchrun.rank():
        print(f"ganrun: note: {damage}; taking step {state['progress']['step']} before it", file=sys.stderr)
    return memory_limit.Fitting(state) if fits else state


def check_run(state: Config, path: Path, key: str) -> bool:
    """Whether its weights are known to be those of its config. Its config gets today's names of moved classes.

    Raises UserError unless the state is that of a run, and where its weights are known to be others.
    """
    missing = [part for part in ("config", "system", "average", "progress") if not isinstance(state.get(part), dict)]
    if missing:
        raise UserError(f"{key}={path} holds no {missing[0]}: it is not the checkpoint of a run")
    if key == "init_from":  # only its weights are used, and the networks exist already
        return False
    state["config"] = with_current_names(state["config"])
    try:
        check_config(state["config"])
        check_facts(state)
        check_stored(state["config"], whole=key == "resume")
        if key == "resume":
            check_resumable(state)
    except ValueError as error:
        raise UserError(f"{key}={path}: {error}") from None
    ours = names_only(state["config"].get("model"), FROM_A_FILE)
    if key == "resume" or not ours:  # these wait for the `trust` of whoever builds them
        return False
    memory_limit.require_fit(state, FROM_A_FILE, key)
    return True


def first_undamaged(paths: Sequence[Path]) -> Config | None:
    """The first checkpoint that is not damaged; None if all are."""
    for path in paths:
        with contextlib.suppress(DamagedError):
            return checkpoint.load(path)
    return None


def trusted(packages: str | Sequence[str] | None) -> tuple[str, ...]:
    """Packages whose classes a config from a file may name: ganrun, torch.nn, torch.optim, and `packages`."""
    return (*FROM_A_FILE, *([packages] if isinstance(packages, str) else packages or ()))
