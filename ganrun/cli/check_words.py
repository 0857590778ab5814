"""Refuses groups, choices and keys that do not exist, and names their nearest neighbours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.types import Override, OverrideType
from omegaconf import DictConfig, ListConfig

from ganrun.cli.composition import compose, without_hydra
from ganrun.cli.grammar import name_of, values_of
from ganrun.cli.spelling import is_path
from ganrun.cli.ways_out import instead, no_such_choice, not_a_group
from ganrun.common.bounds import shown
from ganrun.common.errors import UserError, nearest
from ganrun.common.folders import check_home
from ganrun.config.schema import is_place
from ganrun.config.tree import group_choices

if TYPE_CHECKING:
    from ganrun.cli.overrides import Request


def check_words(request: Request) -> None:
    """Raises UserError for a group, choice or key that does not exist, and names the nearest that do."""
    groups = group_choices(request.config_dir, request.page)
    parsed = request.parsed()
    choices = [override for override in parsed if name_of(override) in groups]
    for override in choices:
        _check_choices(override, groups[name_of(override)])
    known = _first_composition(request, choices, groups)
    for override in parsed:
        if is_path(name_of(override)):
            check_home(name_of(override), str(override.value()))
        if name_of(override) in ("hydra.run.dir", "hydra.sweep.dir"):
            raise UserError(f"{override.input_line}: where a run is written is said with out=FOLDER")
        if override in choices or override.is_hydra_override() or name_of(override).startswith("hydra"):
            continue
        if not (is_place(name_of(override)) and request.given("resume")):
            _check_key(request.page, override, known, groups)


def _first_composition(request: Request, choices: list[Override], groups: Mapping[str, Any]) -> DictConfig:
    """Compose the chosen groups, to know which keys there are. The request keeps the result for its own use."""
    first = [f"{name_of(o)}={values_of(o, groups)[0]}" for o in choices if not o.is_delete()]
    composed = compose(request.page, first, request.config_dir)
    usual = all(o.type == OverrideType.CHANGE and not o.is_sweep_override() for o in choices)
    hydras = [o for o in request.parsed() if o.is_hydra_override() or name_of(o).startswith("hydra")]
    if usual and not hydras and not request.multirun:
        request.picked = frozenset(str(o.input_line) for o in choices)
        request.composed = composed
    return without_hydra(composed.config)


def _check_choices(override: Override, known: Mapping[str, str]) -> None:
    for value in values_of(override, {name_of(override): known}):
        if value.strip("'\"") not in known:
            raise UserError(no_such_choice(name_of(override), value, known))


def _check_key(page: str, override: Override, known: DictConfig, groups: Mapping[str, Any]) -> None:
    key = name_of(override)
    *parents, last = key.split(".")
    if parents and parents[0] in known and (override.is_add() or override.is_force_add()):
        return  # asked for by a plus sign: what a class does not know, the builder will refuse by name
    node: Any = known
    for depth, name in enumerate(parents):
        if not isinstance(node, DictConfig) or name not in node:
            if clause := instead(page, key, lambda other: _there(other, known, groups)):
                raise UserError(f"{key}: no such key; {clause}")
            beside = ".".join(parents[:depth])
            raise UserError(f"{key}: there is no {name} in {beside or page}; {_nearest_key(name, node, known, groups)}")
        node = node._get_node(name)
        if parents[:2] == ["optimizer", "players"]:
            return
    if not isinstance(node, DictConfig) or last not in node.keys():  # noqa: SIM118  `in` overlooks keys whose value is ???
        plus = f"; +{key}=… hands a setting that is not listed to the class" if parents else ""
        clause = instead(page, key, lambda other: _there(other, known, groups))
        raise UserError(f"{key}: no such key; {clause or _nearest_key(last, node, known, groups) + plus}")
    _check_kind(key, node._get_node(last), override)


def _there(key: str, known: DictConfig, groups: Mapping[str, Any]) -> bool:
    return key in groups or key in _dotted(known) or key.startswith("optimizer.players.")


def _check_kind(key: str, node: Any, override: Override) -> None:
    """Refuse a value in place of a group and a group in place of a list: Hydra's own message would name no way out."""
    value = override.value()
    if override.is_delete() or override.is_sweep_override() or value is None or node is None:
        return
    if isinstance(node, ListConfig) and isinstance(value, Mapping):
        raise UserError(f"{key}={shown(value)} must be a list, not a group of settings")
    if not isinstance(node, DictConfig) or node._is_interpolation() or node._is_none():
        return
    names = [str(name) for name in node]
    if not isinstance(value, Mapping):
        raise UserError(not_a_group(key, override.get_value_element_as_str(), node))
    for name in map(str, value):
        if names and name not in names:
            raise UserError(f"{key}.{name}: no such key; {nearest(name, names)}; +{key}.{name}=… adds it")


def _nearest_key(word: str, node: Any, known: DictConfig, groups: Mapping[str, Any]) -> str:
    """lr -> optimizer.lr; stepz -> steps."""
    everywhere = [name for name in _dotted(known) if name.split(".")[-1] == word]
    if everywhere:
        return f"did you mean {everywhere[0]}?"
    beside = [str(key) for key in node] if isinstance(node, DictConfig) else []
    return nearest(word, {*beside, *groups} if node is known else beside)


def _dotted(node: DictConfig, prefix: str = "") -> Iterator[str]:
    for key in map(str, node):
        child = node._get_node(key)
        yield f"{prefix}{key}"
        if isinstance(child, DictConfig) and not child._is_none() and not child._is_interpolation():
            yield from _dotted(child, f"{prefix}{key}.")
