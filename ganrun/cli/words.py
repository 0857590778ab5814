"""The words behind a command's name: its --config-dir, and the words that stand without a key. No Hydra, no torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ganrun.cli.user_yaml import check_folder
from ganrun.commands.command import Command
from ganrun.common.bounds import shown
from ganrun.common.errors import UserError
from ganrun.common.folders import check_current_folder
from ganrun.common.quoting import quoted
from ganrun.common.types import Config

CONFIG_DIR = ("--config-dir", "-cd")


def plain_config(command: Command, words: Sequence[str]) -> Config:
    """What a command gets whose words are not composed: the key of its words, and config_dir. Raises UserError."""
    rest, config_dir = without_config_dir(words)
    given = [word.removeprefix(f"{command.positional}=") for word in rest]
    if given and not command.positional:
        raise UserError(f"{command.name} takes no words, but got {shown(given[0])!r}: give it none")
    _refuse_more(command, given)
    value = given if command.several else next(iter(given), None)
    return {**({command.positional: value} if command.positional else {}), "config_dir": config_dir}


def with_keys(command: Command, words: Sequence[str]) -> list[str]:
    """The same words; those without a key get the one that the command declares: last -> ckpt=last.

    Raises UserError for more words than the command takes.
    """
    bare = [word for word in words if "=" not in word and not word.startswith("~")]
    key = command.positional
    if not bare or not key:  # the grammar of overrides refuses them
        return list(words)
    others = [word for word in words if word not in bare]
    _refuse_more(command, [*bare, *(word for word in others if word.startswith(f"{key}="))])
    return [*others, f"{key}=[{','.join(map(quoted, bare))}]" if command.several else f"{key}={bare[0]}"]


def without_bare(command: Command, words: Sequence[str]) -> list[str]:
    """The words that Hydra's completion can read: without those that stand for a command's own key."""
    befores = ["", *words][: len(words)]
    return [
        word
        for before, word in zip(befores, words, strict=True)
        if not command.positional or "=" in word or word.startswith("-") or before.startswith("-")
    ]


def _refuse_more(command: Command, given: Sequence[str]) -> None:
    if len(given) > 1 and not command.several:
        name = command.positional.upper()
        raise UserError(
            f"{command.name} takes one {name}, but got {shown(given[0])!r} and {shown(given[1])!r}: give one of them"
        )


def without_config_dir(words: Sequence[str]) -> tuple[list[str], Path | None]:
    """The other words, and the folder of --config-dir DIR, --config-dir=DIR or -cd. Raises UserError for no folder."""
    rest: list[str] = []
    config_dir: Path | None = None
    waiting = iter(words)
    for word in waiting:
        flag, equals, value = word.partition("=")
        if flag not in CONFIG_DIR:
            rest.append(word)
            continue
        written = value if equals else next(waiting, "")
        if not written:
            raise UserError(f"{flag} needs a folder: {flag} DIR")
        config_dir = checked_config_dir(written)
    return rest, config_dir


def checked_config_dir(written: str) -> Path:
    """Raises UserError for a --config-dir that holds nothing to find."""
    check_current_folder()
    folder = Path(written).absolute()
    check_folder(folder, written)
    return folder
