"""UserError: a mistake of the user, printed as one line with exit code 2."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable


class UserError(ValueError):
    """The message names the key, the value and the way out; the command line shows it alone, without a traceback."""


class MovedAttribute(UserError, AttributeError):
    """An attribute of earlier versions has another place now. `hasattr` gives False for it."""


def one_line(error: BaseException) -> str:
    """The message on one line; words of 300 characters and more are cut."""
    return re.sub(r"\S{300,}", lambda word: f"{word[0][:80]}…", " ".join(str(error).splitlines()))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out: MemoryError, torch.OutOfMemoryError, or torch's RuntimeError that says so."""
    # by name: this module does not import torch
    if isinstance(error, MemoryError) or any(cls.__name__ == "OutOfMemoryError" for cls in type(error).__mro__):
        return True
    return isinstance(error, RuntimeError) and any(
        words in str(error) for words in ("out of memory", "can't allocate memory")
    )


class FailedChecks(Exception):
    """A check failed. The lines already printed say which; the command ends with exit code 1."""


def nearest(word: str, choices: Iterable[str], count: int = 3) -> str:
    """A clause that names what was probably meant: "nearest: hinge, minimax"; every choice when none is near.

    Choices in a folder, such as paper/sngan, come last, unless the word is the name of one in its folder.
    """
    known = sorted(choices, key=lambda name: ("/" in name, name))
    if inside := [name for name in known if name.endswith(f"/{word.lower()}")]:
        return f"nearest: {', '.join(inside[:count])}"
    lower = {name.lower(): name for name in reversed(known)}
    close = [lower[name] for name in difflib.get_close_matches(word.lower(), lower, n=count, cutoff=0.5)]
    if close:
        return f"nearest: {', '.join(close)}"
    return f"there is: {', '.join(known)}" if known else "there is nothing to choose from"


class CheckpointError(ValueError):
    """The file is missing, damaged, or not a checkpoint of ganrun's; the message says which."""


class DamagedError(CheckpointError):
    """The file's bytes have changed since it was written. An earlier checkpoint may be used."""
