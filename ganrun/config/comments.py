"""What the yaml files of conf/ say about each key: its default, and the comment beside it. No Hydra, no torch."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import yaml

from ganrun.common.errors import UserError, nearest
from ganrun.config.tree import conf_folder, group_choices, groups_of, parents_of

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
NOT_KEYS = ("defaults", "hydra", "_target_")
PACKAGE = re.compile(r"^# @package (\S+)", re.MULTILINE)
CHOSEN = re.compile(r"^  - (?:override )?/?(\w+)(?:@\S+)?: ([\w/]+)", re.MULTILINE)  # of a defaults list
PARENT = re.compile(r"^  - ([a-z][\w/]*)(?:@_here_)?\s*(?:#.*)?$", re.MULTILINE)
SHARED = "shared/"  # what several choices of a group have in common; no choice by itself


@dataclass(frozen=True)
class Entry:
    """A key of a yaml file.

    Args:
        key: dotted, as the command line has it.
        default: its value as the file has it; "" for a group of keys.
        words: its comment.
        target: the class whose argument it is, the `_target_` beside it; "" where there is none.
    """

    key: str
    default: str
    words: str
    target: str = ""


def page_entries(page: str) -> dict[str, Entry]:
    """The keys of a command's own yaml, and of those that it adds to."""
    found: dict[str, Entry] = {}
    for parent in sorted(parents_of(page)):
        found |= page_entries(parent)
    return found | {entry.key: entry for entry in entries(conf_folder() / f"{page}.yaml", "")}


def choice_entries(group: str, choice: str, config_dir: Path | None = None) -> dict[str, Entry]:
    """The keys that a choice of a group has, `loss=hinge`, those of the choices that it builds on included."""
    path = choice_path(group, choice, config_dir)
    if path is None:
        return {}
    own = {entry.key: entry for entry in entries(path, group)}
    target = next((entry.target for entry in own.values() if entry.target and entry.key.count(".") == 1), "")
    found: dict[str, Entry] = {}
    for parent in PARENT.findall(_defaults_of(_text(path))):
        for key, entry in (choice_entries(group, parent, config_dir) if parent != choice else {}).items():
            found[key] = entry if entry.target else replace(entry, target=target)
    if "  - _self_" in _defaults_of(_text(path)).splitlines()[:1]:  # its own keys come first, as in the file
        return own | {key: entry for key, entry in found.items() if key not in own}
    return found | own


def choice_path(group: str, choice: str, config_dir: Path | None = None) -> Path | None:
    """The yaml of a choice: ganrun's own, or the user's."""
    paths = [folder / group / f"{choice}.yaml" for folder in (conf_folder(), config_dir) if folder]
    return next((path for path in paths if path.is_file()), None)


def picked(words: Iterable[str], groups: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """The choices among the words of a command line, {"loss": "hinge"}. Raises UserError for one that is not there."""
    found: dict[str, str] = {}
    for word in words:
        group, equals, choice = word.lstrip("+").partition("=")
        if equals and choice and group in groups:
            if choice not in groups[group]:
                raise UserError(f"{group}={choice[:80]}: no such choice; {nearest(choice[:80], groups[group], 5)}")
            found[group] = choice
    return found


def choices_with(page: str, key: str, config_dir: Path | None = None) -> str:
    """The choices of a command that have a key: "loss=wgan|wgan_gp"; "" where none has."""
    return " or ".join(f"{group}={'|'.join(names)}" for group, names in _with(page, key, config_dir).items())


def _with(page: str, key: str, config_dir: Path | None) -> dict[str, list[str]]:
    """{group: its choices that have a key}."""
    return {
        group: names
        for group, choices in group_choices(config_dir, page).items()
        if group != "experiment"  # these only give values to keys of others
        and (names := [name for name in choices if _has_key(group, name, key, config_dir)])
    }


def without(group: str, key: str) -> str:
    """What to do about group.key, which the choice of a group has not: the end of a sentence; "" where none has it.

    ("model", "augmentation") -> ": leave augmentation= out, or use model=dcgan|…": that group would set the key.
    """
    found = _with("train", f"{group}.{key}", None)
    there = f"{group}={'|'.join(found.pop(group))}" if group in found else ""
    if not there:
        return ""
    return (
        f": leave {' and '.join(f'{other}=' for other in found)} out, or use {there}"
        if found
        else f"; there is one with {there}"
    )


def _has_key(group: str, choice: str, key: str, config_dir: Path | None) -> bool:
    return not choice.startswith(SHARED) and key in choice_entries(group, choice, config_dir)


def chosen(page: str, picks: Mapping[str, str], config_dir: Path | None = None) -> dict[str, str]:
    """The choice of each group: what was picked, else what an experiment, loss or model brings, else the default."""
    choices: dict[str, str] = {}
    for name in [*sorted(parents_of(page)), page]:
        choices |= dict(CHOSEN.findall(_defaults_of(_text(conf_folder() / f"{name}.yaml"))))
    known = groups_of(page)
    choices = {group: choice for group, choice in choices.items() if group in known} | dict(picks)
    experiment = _brought("experiment", choices.get("experiment", ""), config_dir) | dict(picks)
    choices |= experiment  # its choices win over what its model and loss bring
    for group in ("dataset", "model", "model_optimizer", "loss"):  # the loss's optimizer wins over the model's
        choices |= _brought(group, choices.get(group, ""), config_dir) | experiment
    return {group: choice for group, choice in choices.items() if choice != "null" and group in known | {*picks}}


def _brought(group: str, choice: str, config_dir: Path | None) -> dict[str, str]:
    """The choices of other groups that a choice brings by `override /optimizer: sgd`."""
    path = choice_path(group, choice, config_dir)
    if path is None:
        return {}
    defaults = _defaults_of(_text(path))
    found: dict[str, str] = {}
    for parent in PARENT.findall(defaults):
        found |= _brought(group, parent, config_dir) if parent != choice else {}
    return found | dict(CHOSEN.findall(defaults))


@lru_cache
def entries(path: Path, group: str) -> tuple[Entry, ...]:
    """Every key of a yaml file, in its order; a file that is not yaml has none. Whoever loads it says what is wrong."""
    text = _text(path)
    package = PACKAGE.search(text)
    prefix = (package[1] if package else group).replace("_global_", "")
    try:
        node = yaml.compose(text, Loader=LOADER)
        return tuple(_walk(node, prefix, text.splitlines()))
    except yaml.YAMLError:
        return ()


def _walk(node: yaml.Node | None, prefix: str, lines: list[str]) -> Iterator[Entry]:
    if not isinstance(node, yaml.MappingNode):
        return
    target = next((value.value for key, value in node.value if key.value == "_target_"), "")
    for name, value in node.value:
        if name.value in NOT_KEYS:
            continue
        key = f"{prefix}.{name.value}" if prefix else str(name.value)
        group = isinstance(value, yaml.MappingNode) and bool(value.value)
        block = group and not value.flow_style
        end = name.end_mark if block else value.end_mark
        yield Entry(key, "" if group else _source(value, lines), _comment(lines, end.line, end.column), target)
        if group:
            yield from _walk(value, key, lines)


def _source(value: yaml.Node, lines: list[str]) -> str:
    """A value as the file has it, on one line."""
    start, end = value.start_mark, value.end_mark
    if start.line == end.line:
        return lines[start.line][start.column : end.column]
    last = lines[end.line][: end.column] if end.line < len(lines) else ""
    between = [lines[start.line][start.column :], *lines[start.line + 1 : end.line], last]
    return " ".join(re.sub(r"\s#.*", "", line).strip() for line in between).strip()


def _comment(lines: list[str], number: int, column: int) -> str:
    """The comment behind a place of a line, with the lines of comment that go on below it."""
    if number >= len(lines):
        return ""
    place = lines[number].find("#", column)
    if place < 0 or not set(lines[number][column:place]) <= set(" :"):
        return ""
    words = [lines[number][place:]]
    for line in lines[number + 1 :]:
        if not line.lstrip().startswith("#") or abs(line.index("#") - place) > 1 or place < 4:
            break
        words.append(line)
    return " ".join(line.strip().lstrip("#").strip() for line in words)


@lru_cache
def _text(path: Path) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(2**20)
    except OSError:
        return ""


def _defaults_of(text: str) -> str:
    """The lines of a file's defaults list."""
    found = re.search(r"^defaults:.*\n((?:[ #-].*\n|\n)*)", text, re.MULTILINE)
    return found[1] if found else ""
