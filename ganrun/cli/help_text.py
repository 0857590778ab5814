"""What --help prints, from the commands' own words and the comments of conf/. No Hydra, no torch."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

from ganrun.commands.catalogue import COMMANDS
from ganrun.commands.command import Command
from ganrun.config.comments import Entry, choice_entries, chosen, picked
from ganrun.config.tree import conf_folder, group_choices

WIDTH, COLUMN = 130, 48  # of the page; where the words of a key begin
LONG = ("hooks",)  # groups whose keys few look for

FLAGS = """\
flags
  -m                    sweep over comma-separated values
  --cfg job --resolve   show the whole config and stop
  --info                how Hydra found it
  --config-dir DIR      add your own yaml; classes are found in DIR and the folder around it
  --hydra-help          Hydra's own flags
  --debug               show the traceback of a mistake
exit codes: 0 done, 1 failed, 2 not understood, 130/143 stopped by a signal
"""


def help_page(command: Command, config_dir: Path | None = None, words: Sequence[str] = ()) -> str:
    """What `ganrun COMMAND --help` prints: examples, every key with its comment, every choice with one line.

    With choices among the words, model=cyclegan, it prints the keys of that composition instead. Raises UserError for
    a choice that is not there.
    """
    if not command.composed:
        return command.usage
    groups = group_choices(config_dir, command.page)
    if picks := picked(words, groups):
        return _composition_page(command, picks, groups, config_dir)
    word = command.positional.upper()
    parts = [
        command.usage,
        *([f"{word} is {command.positional}={word}\n"] if word else []),
        "keys\n" + _keys(conf_folder() / f"{command.page}.yaml"),
    ]
    for group, choices in groups.items():
        listed = {name: text for name, text in choices.items() if "/" not in name}
        width = max((len(name) for name in listed), default=0)
        parts.append(f"{group}=\n" + "".join(f"  {name:<{width}}  {text}\n" for name, text in listed.items()))
    return "\n".join([*parts, FLAGS])


def _composition_page(
    command: Command, picks: dict[str, str], groups: dict[str, dict[str, str]], config_dir: Path | None
) -> str:
    """The keys of the parts that a line chooses, with their defaults and comments."""
    choices = chosen(command.page, picks, config_dir)
    line = " ".join(f"{group}={choice}" for group, choice in choices.items())
    parts = [f"ganrun {command.name} {' '.join(f'{group}={choice}' for group, choice in picks.items())}", f"is  {line}"]
    for group in sorted(choices, key=lambda name: (name not in picks, list(groups).index(name))):
        entries = choice_entries(group, choices[group], config_dir).values()
        parts += ["", f"{group}={choices[group]}  {groups[group].get(choices[group], '')}"]
        if group in LONG and group not in picks:
            parts.append(f"  its keys: ganrun {command.name} {group}={choices[group]} --help")
            continue
        parts += [line for entry in entries if entry.default for line in _key_lines(entry)]
    return "\n".join([*parts, "", f"keys of every {command.name}, and all choices: ganrun {command.name} --help", ""])


def _key_lines(entry: Entry) -> list[str]:
    start = f"  {entry.key}={entry.default}"
    if not entry.words:
        return [start]
    indent = " " * COLUMN
    lines = textwrap.wrap(entry.words, WIDTH - COLUMN)
    first = [f"{start:<{COLUMN - 2}}  {lines[0]}"] if len(start) <= COLUMN - 2 else [start, indent + lines[0]]
    return [*first, *(indent + line for line in lines[1:])]


def which_model(words: Sequence[str]) -> str | None:
    """A note for a line of `ganrun train` that names no model: it is not the demo that `ganrun train` alone starts."""
    names = {word.lstrip("+").partition("=")[0] for word in words}
    if names & {"model", "experiment", "resume", "init_from"}:
        return None
    choices = chosen("train", {word.partition("=")[0]: word.partition("=")[2] for word in words if "," not in word})
    parts = " ".join(f"{group}={choices[group]}" for group in ("model", "loss", "dataset") if group in choices)
    return f"this trains {parts}; the demo of `ganrun train` alone is experiment=digits"


def _keys(page: Path) -> str:
    """The page's own lines, without the parts that are Hydra's."""
    lines = page.read_text(encoding="utf-8").split("\nhydra:")[0].splitlines()[1:]
    start = 0
    if lines and lines[0].startswith("defaults:"):
        start = next(number for number, line in enumerate(lines) if number and not line.startswith(" "))
    return "".join(f"  {line}\n" if line else "\n" for line in lines[start:])


def overview() -> str:
    """What `ganrun --help` prints."""
    listed = "".join(f"  ganrun {command.line:<16} {command.summary}\n" for command in COMMANDS.values())
    return f"{HEAD}\n{listed}{FIRST_STEPS}"


HEAD = """\
ganrun: train GANs from the command line, one config per part.  Keys of a command: ganrun COMMAND --help
"""

FIRST_STEPS = """\
  ganrun --version
  ganrun help COMMAND     the same as ganrun COMMAND --help
  ganrun COMMAND --debug  shows the traceback of a mistake, for a bug report

first steps
  ganrun train                  an AC-GAN learns to write the ten digits: a minute and a half, no download
  ganrun sample ckpt=last       draw from it
  tensorboard --logdir outputs  watch the curves

shell completion: eval "$(ganrun --shell-completion install=bash)"     (or zsh's bashcompinit, or install=fish)
"""
