"""`ganrun COMMAND [overrides]`: finds the command, reads its words, and does it."""

from __future__ import annotations

import os
import sys

from ganrun import __version__
from ganrun.cli import help_text
from ganrun.cli.hydra_main import KNOWN_FAILURES, hand_to_hydra
from ganrun.cli.streams import soften_streams
from ganrun.cli.words import plain_config, without_bare, without_config_dir
from ganrun.commands.catalogue import COMMANDS
from ganrun.common import terminal, torchrun
from ganrun.common.command_line import begin_line
from ganrun.common.errors import UserError, nearest, one_line
from ganrun.common.folders import check_current_folder

FAILED, MISUSED = 1, 2
HELP = ("-h", "--help", "help")


def main(words: list[str] | None = None) -> int:
    """Run one command line. Returns the exit code: 0 done, 1 failed, 2 not understood, 128 + n stopped by signal n.

    Without words it is this process's own command line, and signals are heeded from here on.
    """
    if words is None:
        from ganrun.cli import entry

        return entry.main()
    soften_streams()
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when torch is imported: waiting threads let others work
    begin_line()
    with terminal.cleaned():
        return _main([word for word in words if word != "--debug"], "--debug" in words)


def _main(words: list[str], debug: bool) -> int:
    try:
        return _dispatch(words)
    except UserError as error:
        if debug:
            raise
        _say(error)
        return MISUSED
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `ganrun --help | head`: the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KNOWN_FAILURES as error:
        if debug:
            raise
        _say(error)
        return FAILED


def _say(error: BaseException) -> None:
    """One line, also where a name in it has several."""
    print(f"{torchrun.speaker()}{one_line(error)}", file=sys.stderr)


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in HELP:
        asked = [word for word in words if word not in HELP]
        if not asked:
            print(help_text.overview())
            return 0
        words = [*asked, "--help"]
    if "--version" in words:
        print(f"ganrun {__version__}")
        return 0
    if words[0] in ("-sc", "--shell-completion"):
        return _complete(words)
    name, *rest = words
    if name not in COMMANDS:
        raise UserError(f"{name!r} is no command; {nearest(name, COMMANDS)}; ganrun --help shows them")
    command = COMMANDS[name]
    asks = "-h" in rest or "--help" in rest
    if asks and command.usage:
        others, config_dir = without_config_dir(rest)
        print(help_text.help_page(command, config_dir, others))
        return 0
    if not command.composed:
        print(command.run(plain_config(command, rest)))
        return 0
    check_current_folder()
    if name == "train":
        from ganrun.cli.run_train import run_train

        return run_train(rest)
    from ganrun.cli.run_command import run_command

    return run_command(command, rest)


def _complete(words: list[str]) -> int:
    """Hydra completes `app key=`; here the command stands between: take it out of the line before Hydra looks."""
    line = os.environ.get("COMP_LINE", "").split(" ")
    command = COMMANDS.get(line[1]) if len(line) > 2 else None
    if any(word.startswith("query=") for word in words) and (command is None or not command.composed):
        offered = list(COMMANDS) if command is None else command.suggest()
        print(" ".join(name for name in offered if name.startswith(line[-1] if len(line) > 1 else "")))
        return 0
    if command:
        os.environ["COMP_LINE"] = " ".join([line[0], *without_bare(command, line[2:-1]), line[-1]])
    hand_to_hydra(command.page if command else "train", lambda cfg: None, words)
    return 0
