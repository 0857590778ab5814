"""`ganrun keys WORD`: finds settings by their name, their comment, or another program's name for them."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ganrun.common.bounds import described
from ganrun.common.errors import UserError, nearest
from ganrun.common.types import Config
from ganrun.config.comments import SHARED, Entry, choice_entries, chosen, page_entries, picked
from ganrun.config.schema import KEYS, PLAYERS
from ganrun.config.signatures import hint_of
from ganrun.config.synonyms import SYNONYMS, Meaning, meaning_of
from ganrun.config.tree import group_choices, groups_of, parents_of

SHOWN_IN_FULL = 12  # so many of the best keys are shown in full; of the others, only the names
WIDTH = 110
PLAYERS_WORDS = "for this player only; its other optimizer settings can be given in the same way"
BY_SIZE = re.compile(r"^\$\{by_size:\$\{[^{}]*\},([^,{}]+),([^,{}]+)\}$")
ALIKE = {"experiment"}  # groups without keys of their own: their files set keys of other groups


@dataclass
class Row:
    """One key, with its type, its default, its comment, and the commands or choices that have it."""

    entry: Entry
    hint: Any
    commands: list[str] = field(default_factory=list)
    choices: dict[str, str] = field(default_factory=dict)  # "model=mlp" -> the default there

    @property
    def key(self) -> str:
        return self.entry.key

    def lines(self, current: Iterable[str]) -> list[str]:
        entry, kind = self.entry, described(self.hint) if self.hint is not None else ""
        told = [] if kind in ("", "something else", "text", "a group of settings") else [kind]
        where = [", ".join(self.commands)] if self.commands else [_where(self.choices, set(current))]
        lines = [f"{self.key}={_of_both_sizes(entry.default)}" if entry.default else f"{self.key}  (a group of keys)"]
        for part in (*told, *([entry.words] if entry.words else []), *where):
            lines += _wrapped(part)
        return lines


def _of_both_sizes(default: str) -> str:
    """${by_size:${model.size},16,64} -> 16 (model.size=small) or 64 (paper); other defaults as they are."""
    return BY_SIZE.sub(r"\1 (model.size=small) or \2 (paper)", default)


def _wrapped(text: str) -> list[str]:
    """Lines with an indent; those of loss=hinge|wgan may also end behind a bar."""
    apart = re.sub(r"(?<=\S)\|(?=\S)", "| ", text)
    lines = textwrap.wrap(apart, WIDTH, initial_indent="    ", subsequent_indent="      ")
    return [re.sub(r"(?<=\S)\| (?=\S)", "|", line) for line in lines]


def find(config: Config) -> str:
    """A text with the keys and choices that match the words. Raises UserError if none matches."""
    words, config_dir = config["word"], config["config_dir"]
    choices = group_choices(config_dir)
    picks = picked(words, choices)
    query = _names(words, picks)
    if not query:
        return _overview(choices) if not picks else _keys_of_choices(picks, config_dir)
    current = {f"{group}={choice}" for group, choice in chosen("train", picks, config_dir).items()}
    rows = list(_rows(choices, current, config_dir))
    asked = " ".join(query)
    meaning = meaning_of(asked)
    found = _search(asked, rows, meaning)
    named = _named_choices(asked, choices)
    if not found and not named and not meaning and len(query) > 1:
        others = [word for word in words if word not in query]
        return "\n\n".join(find({**config, "word": [word, *others]}) for word in query)
    if not found and not named and not (meaning and meaning.keys):
        raise UserError(_nothing(asked, rows, meaning))
    return "\n".join([*_heading(asked, meaning), *_listed(found, current), *named])


# -- reading the words --------------------------------------------------------------------------------------------


def suggest() -> list[str]:
    """For the shell: every key of a command, and every group."""
    return sorted({key for page in KEYS for key in page_entries(page)} | group_choices().keys())


def _names(words: Iterable[str], picks: dict[str, str]) -> list[str]:
    """The words to look for: those that are no choice such as loss=wgan_gp."""
    names = [word.lstrip("-+~").partition("=")[0].strip() for word in words if word.partition("=")[0] not in picks]
    return [name for name in names if name]


def _normal(text: str) -> str:
    return re.sub(r"[\s_\-.]+", " ", text.lower()).strip()


# -- all keys -----------------------------------------------------------------------------------------------------


def _rows(choices: dict[str, dict[str, str]], current: set[str], config_dir: Path | None) -> Iterator[Row]:
    yield from _command_rows()
    merged: dict[str, Row] = {}
    pairs = [(group, choice) for group, names in choices.items() if group not in ALIKE for choice in names]
    pairs = [(group, choice) for group, choice in pairs if not choice.startswith(SHARED)]
    for group, choice in sorted(pairs, key=lambda pair: f"{pair[0]}={pair[1]}" not in current):  # the current one first
        for entry in choice_entries(group, choice, config_dir).values():
            row = merged.setdefault(entry.key, Row(entry, None))
            row.choices[f"{group}={choice}"] = entry.default
            if row.hint is None and entry.target:
                row.hint = hint_of(entry.target, entry.key.rpartition(".")[2])
            if entry.words and not row.entry.words:
                row.entry = Entry(entry.key, row.entry.default, entry.words, entry.target)
    yield from merged.values()


def _command_rows() -> Iterator[Row]:
    """The keys of the commands. Commands whose key has the same default and comment share a row."""
    merged: dict[tuple[Any, ...], Row] = {}
    for page, hints in KEYS.items():
        for key, entry in page_entries(page).items():
            told = described(hints[key]) if key in hints else ""
            row = merged.setdefault((key, entry.default, entry.words, told), Row(entry, hints.get(key)))
            row.commands.append(page.replace("_", "-"))
    yield from merged.values()
    for player in _players():  # any player may have these keys, so no yaml lists them
        for key, hint in PLAYERS.items():
            entry = Entry(f"optimizer.players.{player}.{key}", f"${{optimizer.{key}}}", PLAYERS_WORDS)
            yield Row(entry, hint, ["train", "bench", "doctor"])


def _players() -> list[str]:
    """The players whose own settings other programs have words for, such as lr_d. Those of a model only it knows."""
    keys = [key.split(".") for meaning in SYNONYMS.values() for key in meaning.keys]
    return sorted({names[2] for names in keys if names[:2] == ["optimizer", "players"]}, reverse=True)


def _where(choices: dict[str, str], current: set[str]) -> str:
    """The choices that have a key, those of the command line first: with loss=wgan_gp; also loss=dragan (1)."""
    chosen_here = [name for name in choices if name in current]
    first = choices[chosen_here[0]] if chosen_here else next(iter(choices.values()))
    same = [name for name in choices if choices[name] == first]
    others = [_with_value(name, value) for name, value in choices.items() if value != first]
    also = f"; also {_together(others)}" if others else ""
    return f"with {_together(sorted(same, key=lambda name: name not in current))}{also}"


def _with_value(name: str, value: str) -> str:
    return name if not value or value.startswith("${") else f"{name} ({value})"


def _together(names: list[str]) -> str:
    """loss=hinge, loss=wgan -> loss=hinge|wgan."""
    groups: dict[str, list[str]] = {}
    for name in names:
        group, _, choice = name.partition("=")
        groups.setdefault(group, []).append(choice)
    return ", ".join(f"{group}={'|'.join(choices)}" for group, choices in groups.items())


# -- searching ----------------------------------------------------------------------------------------------------


def _search(asked: str, rows: list[Row], meaning: Meaning | None) -> list[Row]:
    """The rows that match, the best first."""
    ranked = [(rank, row) for row in rows if (rank := _rank(asked, row, meaning)) is not None]
    return [row for _, row in sorted(ranked, key=lambda pair: (pair[0], not pair[1].commands))]


def _rank(asked: str, row: Row, meaning: Meaning | None) -> int | None:
    plain, name = _normal(asked), _normal(row.key)
    if row.key == asked or (meaning and row.key in meaning.keys[:1]):
        return 0
    if name.endswith(f" {plain}") or name == plain or (meaning and row.key in meaning.keys):
        return 1
    if _has(name, plain):
        return 2
    if _has(_normal(row.entry.words), plain):
        return 3
    parts = plain.split(" ")
    return 4 if len(parts) > 1 and all(_has(f"{name} {_normal(row.entry.words)}", part) for part in parts) else None


def _has(text: str, word: str) -> bool:
    """Whether a text contains a word. A word of four letters or more may also be the beginning of a longer one."""
    end = r"(?!\w)" if len(word) <= 3 else ""
    return bool(re.search(rf"(?<!\w){re.escape(word)}{end}", text))


def _named_choices(asked: str, choices: dict[str, dict[str, str]]) -> list[str]:
    plain = _normal(asked)
    return [
        f"{group}={name}  {words}"
        for group, ones in choices.items()
        for name, words in ones.items()
        if not name.startswith(SHARED) and (_has(_normal(f"{group} {name}"), plain) or _has(_normal(words), plain))
    ]


# -- answers ------------------------------------------------------------------------------------------------------


def _heading(asked: str, meaning: Meaning | None) -> list[str]:
    if meaning is None:
        return []
    if not meaning.keys:
        return [f"{asked}: ganrun has no setting for {meaning.words}", ""]
    more = f" ({meaning.more})" if meaning.more else ""
    keys = " or ".join(f"{key}=" for key in meaning.keys)
    return [f"{asked}: {meaning.words} is {keys}{more}", ""]


def _listed(rows: list[Row], current: set[str]) -> list[str]:
    lines = [line for row in rows[:SHOWN_IN_FULL] for line in [*row.lines(current), ""]]
    if rest := list(dict.fromkeys(row.key for row in rows[SHOWN_IN_FULL:])):
        lines += [*textwrap.wrap("also " + " ".join(rest), WIDTH, subsequent_indent="  "), ""]
    return lines


def _nothing(asked: str, rows: list[Row], meaning: Meaning | None) -> str:
    if meaning is not None:
        return f"keys {asked}: ganrun has no setting for {meaning.words}"
    known = {row.key.rpartition(".")[2] for row in rows} | SYNONYMS.keys()
    near = nearest(_normal(asked).replace(" ", "_")[:80], known)
    told = f"; {near}" if near.startswith("nearest") else ""
    return f"keys {asked[:80]}: no key, comment or choice has this word{told}; ganrun keys lists all names"


def _keys_of_choices(picks: dict[str, str], config_dir: Path | None) -> str:
    lines: list[str] = []
    for group, choice in picks.items():
        entries = [entry for entry in choice_entries(group, choice, config_dir).values() if entry.default]
        if not entries:
            lines += [f"{group}={choice}: its yaml gives no keys besides its class", ""]
        for entry in entries:
            hint = hint_of(entry.target, entry.key.rpartition(".")[2]) if entry.target else None
            lines += [*Row(entry, hint, choices={f"{group}={choice}": entry.default}).lines(()), ""]
    return "\n".join(lines).rstrip()


def _overview(choices: dict[str, dict[str, str]]) -> str:
    """The names of all keys and choices."""
    lines = ["ganrun keys WORD explains a key; ganrun COMMAND --help explains all keys of a command", ""]
    for page in KEYS:
        parents = sorted(parents_of(page))
        inherited = {key for parent in parents for key in page_entries(parent)}
        names = [key for key, entry in page_entries(page).items() if entry.default and key not in inherited]
        first = f"keys of {parents[0]}, and " if parents else ""
        lines += textwrap.wrap(f"{page.replace('_', '-')}: {first}{' '.join(names)}", WIDTH, subsequent_indent="    ")
    lines.append("")
    for group in (group for group in choices if group in set().union(*map(groups_of, KEYS)) or choices[group]):
        names = [name for name in choices[group] if "/" not in name]
        lines += textwrap.wrap(f"{group}= {' | '.join(names)}", WIDTH, subsequent_indent="    ")
    return "\n".join(lines)
