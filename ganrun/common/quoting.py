"""Quotes a value so that Hydra and a shell read it back unchanged."""

from __future__ import annotations

import re
import shlex

UNQUOTED = re.compile(r"[A-Za-z/._][\w/.+@%-]*", re.ASCII)  # what Hydra's grammar takes as text without quotes
CONSTANTS = ("true", "false", "null", "inf", "nan")


def quoted(value: str) -> str:
    """In single quotes, as Hydra reads them: a backslash is one by itself, but for those before a quote."""
    escaped = re.sub(r"(\\*)'", lambda found: found[1] * 2 + "\\'", value)
    return "'" + re.sub(r"\\+$", lambda found: found[0] * 2, escaped) + "'"


def needs_no_quotes(value: str) -> bool:
    """Whether Hydra reads the value as text without quotes, not as a number, a list or true."""
    return bool(UNQUOTED.fullmatch(value)) and value.lower() not in CONSTANTS and not is_number(value)


def is_number(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True


def quoted_path(value: str) -> str:
    """A path as Hydra reads it: quoted where Hydra's grammar would not read it as text, such as epoch=3.pt or 数据.

    Commas, lists, quotes, null, true and false keep their meaning there.
    """
    kept = (
        not value
        or "," in value
        or value.lower() in ("null", "true", "false")
        or (value[0] + value[-1]) in ("''", '""', "[]")
    )
    return value if kept or needs_no_quotes(value) else quoted(value)


def shell_word(key: str, value: str) -> str:
    """key=value of a path, to be typed into a shell."""
    read_back = needs_no_quotes(value) or quoted_path(value) != value
    return shlex.quote(f"{key}={value if read_back else quoted(value)}")
