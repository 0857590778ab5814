"""strays: what a user's yaml put where nothing reads it is brought to its place, or refused. No Hydra, no torch."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ganrun.common.errors import UserError, nearest
from ganrun.common.types import Config
from ganrun.config.schema import KEYS
from ganrun.config.tree import groups_of, keys_of

PLACES = {"augmentation": ("model", "augmentation"), "schedule": ("optimizer", "schedule")}  # group: where it is read
FIRST_LINE = "# @package _global_"
RUNS = ("train", "bench", "doctor")  # pages whose sections have no other keys than they list


def placed(config: Config) -> Config:
    """The same config, its augmentation and schedule where they are read, also of yaml without a package line."""
    config = dict(config)
    for group, (owner, key) in PLACES.items():
        node = config.pop(group, None)
        if not isinstance(node, Mapping) or not isinstance(config.get(owner), Mapping):
            continue
        whole = node.get(owner) if set(node) == {owner} else None  # it was written as ours is, but for the first line
        node = whole[key] if isinstance(whole, Mapping) and set(whole) == {key} else node
        if node:
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
    for key in unread(page, config):
        if not asked_for(key, unresolved):
            raise UserError(
                f"{key}: nothing reads this key, which a yaml or a plus sign put there; {way_out(page, key)}"
            )


def asked_for(key: str, unresolved: str) -> bool:
    """Whether an interpolation of the config names the key, or by its last part what lies beside it."""
    asked = " ".join(re.findall(r"\$\{[^\n]*\}", unresolved))
    return bool(re.search(rf"(?<![\w.])({re.escape(key)}|\.+{re.escape(key.split('.')[-1])})(?!\w)", asked))


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
