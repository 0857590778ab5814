"""What to write instead of a word that cannot be used: one clause each, with words that work. No Hydra, no torch."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from ganrun.cli.spelling import is_path
from ganrun.common.bounds import shown
from ganrun.common.errors import nearest
from ganrun.common.quoting import shell_word
from ganrun.config.comments import choices_with, page_entries
from ganrun.config.schema import KEYS
from ganrun.config.synonyms import meaning_of, meant, meant_elsewhere, renamed
from ganrun.config.tree import groups_of

NEEDED = {  # an example for each key that a command cannot do without
    "ckpt": "ckpt=last is the newest run under outputs/, ckpt=RUN any other",
    "run": "run=last is the newest run under outputs/, run=RUN any other",
    "input": "input=PICTURE.png, or a folder or .zip of pictures",
    "out": "out=FOLDER",
}
CLOSING = {"[": "]", "{": "}", "(": ")"}


def instead(page: str, key: str, has: Callable[[str], bool]) -> str | None:
    """A clause for a key that is not there: its new name, another program's word, or the choice that has it."""
    if new := renamed(key):
        return new
    last = key.rpartition(".")[2]
    if clause := meant(last, has):
        return clause
    if there := choices_with(page, key):
        return f"there is one with {there}"
    if any(name.rpartition(".")[2] == last for name in KEYS[page]) or key.split(".")[0] in groups_of(page):
        return meant_elsewhere(last)  # it is nearer to a key of this command than to one of another
    if (meaning := meaning_of(last)) and meaning.keys and meaning.keys[0].split(".")[0] in groups_of(page):
        return meant_elsewhere(last)  # a group of this command has it, with another choice
    others = [other.replace("_", "-") for other in KEYS if _belongs_to(other, key)]
    return f"it is a key of ganrun {' and '.join(others[:3])}" if others else meant_elsewhere(last)


def _belongs_to(page: str, key: str) -> bool:
    return key in page_entries(page) or key.split(".")[0] in groups_of(page)


def needed(key: str) -> str:
    """A message for a key without a value that a command cannot do without."""
    return f"{key} is needed: {NEEDED.get(key, f'{key}=FILE' if key.endswith('weights') else f'{key}=…')}"


def several_values(key: str, value: str, groups: Mapping[str, Mapping[str, str]]) -> str:
    """A message for key=a,b where no sweep was asked for."""
    line = shown(f"{key}={value}")
    if re.fullmatch(r"\d{1,3}(,\d{3})+", value):
        return f"{line}: several values need -m (a sweep); one number has no commas: {key}={value.replace(',', '')}"
    if key in groups:
        first = re.split(r"[,()]", value.removeprefix("choice("))[0]
        return f"{line}: several values need -m (a sweep): ganrun COMMAND -m {line}; or choose one: {key}={first}"
    if is_path(key) and len(value) < 200:
        return (
            f"{line}: several values need -m (a sweep); a path with a comma in it is written {_in_quotes(key, value)}"
        )
    return f"{line}: several values need -m (a sweep); a list is written {shown(f'{key}=[{value}]')}"


def _in_quotes(key: str, value: str) -> str:
    """key=value of a path with a comma, as it is typed into a shell."""
    return shell_word(key, value) if re.search(r"[\"$`\\!']", value) else f"\"{key}='{value}'\""


def no_such_choice(group: str, value: str, known: Mapping[str, str]) -> str:
    """A message for group=value that is no choice."""
    names = [name.strip(" '\"") for name in value.strip("[]").split(",")]
    if value.startswith("[") and len(names) > 1 and all(name in known for name in names):
        return (
            f"{group}={shown(value)}: no such choice, a run has one {group}: {group}={names[0]}; "
            f"-m {group}={','.join(names)} starts a run with each"
        )
    return f"{group}={shown(value)}: no such choice; {nearest(value[:80], known, 5)}"


def not_a_group(key: str, value: str, node: Mapping[str, object]) -> str:
    """A message for one value where there is a group of keys."""
    names = [str(name) for name in node if name != "_target_"]
    such = f", such as {key}.{names[-1]}=…" if names else ""
    by_class = f"; another class is {key}._target_=PACKAGE.CLASS" if "_target_" in node and "." in key else ""
    group = key.split(".")[0]
    by_choice = f", another {group} is {group}=NAME" if by_class else ""
    return f"{key}={shown(value)} must be a group of settings{such}{by_class}{by_choice}"


def slip(word: str) -> str | None:
    """A clause for a space at the =, or for a bracket or quote that is not closed; None where all is well."""
    key, _, value = word.partition("=")
    if key != key.strip() or value != value.lstrip():
        return f"no spaces around the =: {shown(f'{key.strip()}={value.strip()}')}"
    waiting: list[str] = []
    quote = ""
    for sign in value:
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "'\"":
            quote = sign
        elif sign in CLOSING:
            waiting.append(sign)
        elif sign in CLOSING.values() and (not waiting or CLOSING[waiting.pop()] != sign):
            return f"the {sign} was not opened"
    if quote:
        return f"the quote {quote} is not closed"
    if not waiting:
        return None
    return f"the {waiting[-1]} is not closed: {shown(word + ''.join(CLOSING[sign] for sign in reversed(waiting)))}"
