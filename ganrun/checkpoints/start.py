"""Starts a new run from the weights of another one: what fits is taken, and what differs is said."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from torch import Tensor

from ganrun.checkpoints import checkpoint
from ganrun.checkpoints.find import find
from ganrun.common.errors import CheckpointError, UserError
from ganrun.common.types import Config
from ganrun.common.untrusted import printable
from ganrun.systems.system import System

LOSS = "loss"  # where each system has its loss, which stays fresh
MOST_NAMED = 4  # settings in a message


def load_weights(system: System, state: Mapping[str, Any], config: Config | None = None) -> list[str]:
    """Start from another run's averaged weights. Returns a note for each part that starts fresh.

    What draws the pictures must have the same shapes. Any other part, such as a discriminator, starts fresh where the
    other run had none or another one, and so does the loss always. `config`: that of the new run; a message then names
    the settings of the generators that differ. Raises UserError for other networks.
    """
    drawing = drawing_parts(system)
    try:
        own, given = grouped(system.state_dict()), grouped(state["system"])
        fresh = [
            name for name in own if name == LOSS or (name not in drawing and not alike(own[name], given.get(name)))
        ]
        taken = {name: own[name] if name in fresh else given.get(name, {}) for name in own}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on the meta device only shapes are compared
            system.load_state_dict({key: tensor for part in taken.values() for key, tensor in part.items()})
            system.ema_module().load_state_dict(state["average"])
    except (KeyError, RuntimeError, TypeError, ValueError, AttributeError) as error:
        reason = differing(config, state.get("config"), drawing) or " ".join(str(error).split())[:200]
        raise UserError(f"init_from: its networks differ from this run's: {reason}") from None
    return [f"init_from: it has no {name} like this run's, so that starts fresh" for name in fresh if name != LOSS]


def grouped(tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """{"generator": {"generator.first.weight": …}, …}: the tensors by the first part of their names."""
    groups: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        groups.setdefault(key.partition(".")[0], {})[key] = tensor
    return groups


def drawing_parts(system: System) -> set[str]:
    """The names of the system's own parts that hold a weight of `ema_module`."""
    drawn = {id(weight) for weight in system.ema_module().state_dict(keep_vars=True).values()}
    return {key.partition(".")[0] for key, weight in system.state_dict(keep_vars=True).items() if id(weight) in drawn}


def alike(own: Mapping[str, Tensor], given: Mapping[str, Tensor] | None) -> bool:
    """Whether they have the same names and shapes."""
    return given is not None and {k: t.shape for k, t in own.items()} == {k: t.shape for k, t in given.items()}


def differing(config: Config | None, other: Any, drawing: set[str]) -> str | None:
    """The settings that differ of the networks that draw, there and here; None where none is known.

    A system may hold the networks of two nodes, generator_ab and generator_ba, in one part, generators.
    """
    begins = tuple(name.removesuffix("s") for name in drawing)
    mine, theirs = (of.get("model") if isinstance(of, Mapping) else None for of in (config, other))
    if not isinstance(mine, Mapping) or not isinstance(theirs, Mapping):
        return None
    pairs = [
        (name, key, before, now)
        for name, node in mine.items()
        if name.startswith(begins) and isinstance(node, Mapping) and isinstance(theirs.get(name), Mapping)
        for key, before, now in unlike(theirs[name], node)
    ]
    if not pairs:
        return None
    told = [f"model.{name}.{key}={as_text(before)} there and {as_text(now)} here" for name, key, before, now in pairs]
    return "; ".join([*told[:MOST_NAMED], *(["…"] if len(told) > MOST_NAMED else []), *ways(pairs)])


def ways(pairs: list[tuple[str, str, Any, Any]]) -> Iterator[str]:
    """What to say so that the data fit the network."""
    for _, key, before, _ in pairs:
        if key in ("scale", "channels"):
            yield f"use dataset.{key}={as_text(before)}"


def unlike(theirs: Mapping[str, Any], mine: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """(key, value there, value here) of the plain values that differ, but for the size of the pictures."""
    for key in sorted(map(str, {**theirs, **mine})):
        before, now = theirs.get(key), mine.get(key)
        if before != now and key != "image_size" and not isinstance(before, Mapping) and not isinstance(now, Mapping):
            yield key, before, now


def as_text(value: Any) -> str:
    return "null" if value is None else printable(str(value))[:80]


def setting_of(reference: str, key: str) -> int | str | None:
    """A number or a name that the config of a checkpoint has at a dotted key; None where it has none.

    Also None for a missing checkpoint; loading it reports that later.
    """
    try:
        value: Any = _config_of(*_identity(find(reference)))
    except (CheckpointError, OSError, ValueError):
        return None
    for name in key.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value if isinstance(value, (int, str)) and not isinstance(value, bool) else None


def _identity(path: Path) -> tuple[str, int, int]:
    found = path.stat()
    return str(path.resolve()), found.st_size, found.st_mtime_ns


@lru_cache(1)
def _config_of(path: str, size: int, changed: int) -> Config:
    """The config in a checkpoint; read once, however many settings are asked for."""
    found = checkpoint.load(path).get("config")
    return found if isinstance(found, dict) else {}
