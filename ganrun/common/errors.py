"""UserError: a mistake in what we were given, shown as one line with exit code 2."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable


class UserError(ValueError):
    """The message names the key, the value and the way out; the command line shows it alone, without a traceback."""


def one_line(error: BaseException) -> str:
    """What it says, on one line, with words cut that nobody would read to their end."""
    return re.sub(r"\S{300,}", lambda word: f"{word[0][:80]}…", " ".join(str(error).splitlines()))


class FailedChecks(Exception):
    """What was looked at is not well, as has been said line by line: the command ends with exit code 1."""


def nearest(word: str, choices: Iterable[str], count: int = 3) -> str:
    """A clause that names what was probably meant: "nearest: hinge, minimax"; every choice when none is near."""
    known = sorted(choices)
    lower = {name.lower(): name for name in reversed(known)}
    close = [lower[name] for name in difflib.get_close_matches(word.lower(), lower, n=count, cutoff=0.5)]
    if close:
        return f"nearest: {', '.join(close)}"
    return f"there is: {', '.join(known)}" if known else "there is nothing to choose from"


class CheckpointError(ValueError):
    """The file is missing, damaged, or not a checkpoint of ganrun's; the message says which."""


class DamagedError(CheckpointError):
    """Its bytes are not those that were written: the one before it may serve."""
