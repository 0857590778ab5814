"""Finds the clean data set of dataset=damaged by its name in conf/dataset. This file does not import torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml

from ganrun.data.storage import PictureStorage

STORAGE = tuple(field.name for field in fields(PictureStorage))
# settings of the damaged data set that are passed on to the clean data set
CROPS = ("crop", "crop_scale", "small")
PASSED_ON = ("root", "split", "download", "image_size", "channels", "limit", *CROPS, *STORAGE)


def clean_node(source: str, settings: Mapping[str, Any], folders: Sequence[Path]) -> dict[str, Any]:
    """The node of the clean data set: `dataset/<source>.yaml` with the user's settings.

    folders: the configuration folders, searched in this order. settings: the unresolved node of the damaged data set. A
    setting is not passed on when it is null or refers to the clean data set itself.
    Raises ValueError for an unknown name, and for a setting that the clean data set does not have.
    """
    node = read_node(source, folders)
    for key in PASSED_ON:
        value = settings.get(key)
        if value is None or "${.clean." in str(value):
            continue
        if key not in node:
            raise ValueError(f"dataset.{key}={value}: the data set {source} has no such setting")
        node[key] = value
    return node


def read_node(source: str, folders: Sequence[Path]) -> dict[str, Any]:
    """The content of `dataset/<source>.yaml`. Raises ValueError when there is none or it has a defaults list."""
    known = {path.stem: path for folder in reversed(folders) for path in sorted((folder / "dataset").glob("*.yaml"))}
    if source not in known:
        raise ValueError(f"dataset.source={source}: no such data set; there are {', '.join(sorted(known))}")
    own = read_yaml(known[source])
    node: dict[str, Any] = {}
    for part in own.pop("defaults", ["_self_"]):  # in their order: the later one wins
        name = str(part).removesuffix("@_here_")
        if name != "_self_" and not name.startswith("shared/"):
            raise ValueError(f"dataset.source={source}: {known[source]} must be without a defaults list of data sets")
        node |= own if name == "_self_" else read_yaml(known[source].parent / f"{name}.yaml")
    return node


def read_yaml(path: Path) -> dict[str, Any]:
    found = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(found, dict):
        raise ValueError(f"{path} must hold settings, key: value")
    return found


def damage_scale(damage: str, damages: Mapping[str, Any]) -> int:
    """How many times larger a target is than its source: the factor of the damage, 1 where it has none.

    Its class refuses a factor that is no whole number above 0; until then it counts as 1. Raises ValueError for an
    unknown damage.
    """
    if damage not in damages:
        raise ValueError(f"dataset.damage={damage} must be one of {', '.join(map(str, damages))}")
    node = damages[damage]
    factor = 1 if node.get("enlarge") else node.get("factor", 1)
    return factor if isinstance(factor, int) and factor > 0 else 1
