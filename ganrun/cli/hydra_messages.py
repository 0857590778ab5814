"""hydra_words: what Hydra and OmegaConf complain of, in ganrun's words: the key, then the way out. No Hydra."""

from __future__ import annotations

import re

BAD_DEFAULTS = "its defaults must be a list of names and of group: name, such as [hinge, {override /optimizer: sgd}]"

# pattern of theirs -> ours; what fits none is told as it is, in one line
THEIRS = (
    (r"Could not override '([^']+)'\..*", r"\1: no such key, or a group that lacks a key of the value; +\1=… adds one"),
    (r"Could not append to config\. An item is already at '([^']+)'.*", r"\1 is there already: leave the + away"),
    (r"Could not delete from config\. '?([^' ]+)'? .*", r"~\1: there is no such key, or it has another value"),
    (r"Error merging override (\S+?)=.*", r"\1= does not fit what is there: a list stays a list, a group a group"),
    (r"In '[^']+': Could not (?:find|load) '([^']+)'.*", r"its defaults list names \1, which is not there"),
    (r"In '[^']+': Could not override '([^']+)'.*", r"its defaults list overrides \1, which nothing has chosen before"),
    (r"(?:In|Invalid defaults list in) '[^']+',? (?:defaults must be a list|.*[dD]efaults? [lL]ist).*", BAD_DEFAULTS),
    (r"Interpolation key '([^']+)' not found.*", r"${\1} names a key that is not there; \\$ is a plain $"),
    (r"Unsupported interpolation type (\S+).*", r"${\1:…} is no function that a config may call"),
    (r".*Error trying to access (\S+): node `([^`]+)` is not a .*", r"it is taken from \1, and \2 is no group now"),
    (r"Recursive interpolation detected.*", "it is taken from itself, through ${…}"),
    (r".*Key '([^']+)' is not in struct.*", r"there is no \1 here"),
    (r"\w+Error raised while resolving interpolation: (.*)", r"cannot be found out: \1"),
    (r"ValidationError|.*could not be converted to (\w+).*", r"is of another kind than what is there"),
)
GRAMMAR = re.compile(r"(?:at input|at:|extraneous input|mismatched input|missing \S+ at) '(.*?)'(?: expecting .*)?$")


def ours(text: str) -> str:
    """One line for a message of theirs, of any number of lines."""
    line = " ".join(text.split())
    for pattern, words in THEIRS:
        if found := re.fullmatch(pattern, line):
            return found.expand(words)
    return re.sub(r" ?(full_key|object_type|reference_type)[:=]\S*", "", line)


def unreadable(text: str) -> str:
    """Why the grammar of overrides cannot read a word, from the parser's own complaint."""
    line = text.strip().splitlines()[0] if text.strip() else ""
    if called := re.search(r"while evaluating '(.{1,40})", line):
        return f"{called[1].rstrip(chr(39))} calls a function that is not there, or cannot work with this"
    if "Exceeds the limit" in line:
        return "a number of thousands of digits"
    found = GRAMMAR.search(line)
    place = found[1].strip() if found else ""
    if place == "<EOF>":
        return "it ends too early: a value, bracket or quote is missing"
    reason = f"it cannot be read from {place[:40]} on" if place else "it cannot be read as key=value"
    return f"{reason}; quote special characters twice: \"key='a, b'\""
