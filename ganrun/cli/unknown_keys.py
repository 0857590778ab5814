"""Keys that a user's yaml put where nothing reads them: moved to their place, or refused. No Hydra, no torch."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from ganrun.common.bounds import shown
from ganrun.common.errors import UserError, nearest
from ganrun.common.types import Config
from ganrun.config.schema import KEYS
from ganrun.config.synonyms import renamed
from ganrun.config.tree import groups_of, keys_of

PLACES = {"augmentation": ("model", "augmentation"), "schedule": ("optimizer", "schedule")}  # group: where it is read
FIRST_LINE = "# @package _global_"
RUNS = ("train", "bench", "doctor")  # pages whose sections have no other keys than they list


def placed(config: Config) -> Config:
    """The same config with its augmentation and schedule where they are read, also from yaml without a package line.

    Raises UserError for one that is no group of settings.
    """
    config = dict(config)
    for group, (owner, key) in PLACES.items():
        node = config.pop(group, None)
        if node is not None and not isinstance(node, Mapping):
            raise UserError(f"{group}={shown(node)} must be a group of settings with its _target_, or null")
        if not node or not isinstance(config.get(owner), Mapping):
            continue
        inner = node.get(owner) if set(node) == {owner} else None  # written as ganrun's own, but for the first line
        node = inner[key] if isinstance(inner, Mapping) and set(inner) == {key} else node
        config[owner] = {**config[owner], key: node}
    return config


def refuse_strays(page: str, config: Config, unresolved: str) -> None:
    """Raises UserError for what no part of ganrun reads, and no `${...}` of the config either.

    `config` is what was composed, in its places; `unresolved` the same as yaml, before interpolations are looked up.
    """
    for group in groups_of(page):
        node = config.get(group)
        if isinstance(node, Mapping) and group in node and "_target_" not in node:
            raise UserError(
                f"{group}: its yaml holds {group}: once more, so its first line must be `{FIRST_LINE}`; "
                f"or leave the word {group}: away"
            )
    asked = asked_for(yaml.safe_load(unresolved)) if (strays := list(unread(page, config))) else set()
    for key in strays:
        if key not in asked:
            raise UserError(
                f"{key}: nothing reads this key, which a yaml or a plus sign put there; "
                f"{renamed(key) or way_out(page, key)}"
            )


def asked_for(node: Any, place: tuple[str, ...] = ()) -> set[str]:
    """The keys that the interpolations of a config name: ${grids.every}, or from its own place ${.every}.

    Those in a function's arguments count too: ${times:2,${..width}}.
    """
    if isinstance(node, Mapping):
        return {key for name, value in node.items() for key in asked_for(value, (*place, str(name)))}
    if isinstance(node, list):
        return {key for number, value in enumerate(node) for key in asked_for(value, (*place, str(number)))}
    found = set()
    for dots, name in re.findall(r"\$\{(\.*)([^{}:]+)\}", node) if isinstance(node, str) else ():
        parts = [*(place[: len(place) - len(dots)] if dots else ()), *name.split(".")]
        found |= {".".join(parts[:end]) for end in range(1, len(parts) + 1)}  # the groups around it are read too
    return found


def way_out(page: str, key: str) -> str:
    if key in groups_of(page):
        return f"the first line of that {key}'s yaml must be `{FIRST_LINE}`"
    if "." in key:
        *owners, last = key.split(".")
        node: Any = keys_of(page)
        for owner in owners:
            node = node[owner]
        return nearest(last, map(str, node))
    fitting = nearest(key, {*keys_of(page), *groups_of(page)})
    return f"{fitting}; a yaml with `{FIRST_LINE}` must name the part, such as model: or loss:, above such a line"


def unread(page: str, config: Config) -> Iterator[str]:
    """Dotted keys of a composed page that its yaml does not have, and that are no group's."""
    known = keys_of(page)
    groups = {key.split(".")[0] for key in KEYS[page]} - known.keys()
    for key, value in config.items():
        if key not in known and key not in groups:
            yield key
        elif page in RUNS and key in known:
            yield from beyond(value, known[key], key)


def beyond(node: Any, known: Any, place: str) -> Iterator[str]:
    if isinstance(node, Mapping) and isinstance(known, Mapping):
        for key, value in node.items():
            if key in known:
                yield from beyond(value, known[key], f"{place}.{key}")
            else:
                yield f"{place}.{key}"
