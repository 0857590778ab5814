"""What --help prints, from the commands' own words and the comments of conf/. No Hydra, no torch."""

from __future__ import annotations

from pathlib import Path

from ganrun.commands.catalogue import COMMANDS
from ganrun.commands.command import Command
from ganrun.config.tree import conf_folder, group_choices

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


def help_page(command: Command, config_dir: Path | None = None) -> str:
    """What `ganrun COMMAND --help` prints: examples, every key with its comment, every choice with one line."""
    if not command.composed:
        return command.usage
    parts = [command.usage, "keys\n" + _keys(conf_folder() / f"{command.page}.yaml")]
    for group, choices in group_choices(config_dir, command.page).items():
        listed = {name: text for name, text in choices.items() if "/" not in name}
        width = max((len(name) for name in listed), default=0)
        parts.append(f"{group}=\n" + "".join(f"  {name:<{width}}  {text}\n" for name, text in listed.items()))
    return "\n".join([*parts, FLAGS])


def _keys(page: Path) -> str:
    """The page's own lines, without the parts that are Hydra's."""
    lines = page.read_text(encoding="utf-8").split("\nhydra:")[0].splitlines()[1:]
    start = 0
    if lines and lines[0].startswith("defaults:"):
        start = next(number for number, line in enumerate(lines) if number and not line.startswith(" "))
    return "".join(f"  {line}\n" if line else "\n" for line in lines[start:])


def overview() -> str:
    """What `ganrun --help` prints."""
    listed = "".join(f"  ganrun {name:<16} {command.summary}\n" for name, command in COMMANDS.items())
    return f"{HEAD}\n{listed}{FIRST_STEPS}"


HEAD = """\
ganrun: train GANs from the command line, one config per part.  Keys of a command: ganrun COMMAND --help
"""

FIRST_STEPS = """\
  ganrun --version

first steps
  ganrun train                  an AC-GAN learns to write the ten digits: a minute and a half, no download
  ganrun sample ckpt=last       draw from it
  tensorboard --logdir outputs  watch the curves

shell completion: eval "$(ganrun --shell-completion install=bash)"     (or zsh's bashcompinit, or install=fish)
"""
