"""Checks on files that someone else made, before anything in them is used. No torch."""

from __future__ import annotations

import io
import math
import os
import re
import struct
import unicodedata
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from pickletools import genops  # names what a pickle would do, and does nothing
from typing import Any, BinaryIO, NamedTuple

from ganrun.common import limits

MAX_PICKLE = 4 * 2**20  # bytes; 25,000 tensors take less, and a byte may unfold to 70
MAX_ITEMS = 500_000
LARGEST = 1e100  # what is larger is no loss and no score, and matplotlib has no axis for it
MAX_CONTENTS, MAX_MEMBERS = 64 * 2**20, 400_000  # of a .zip: a million would take 12 s and 500 MB to list
COMMANDS = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
MOST = {  # place of a whole number -> the most that it may be; elsewhere it is limits.INTEGER. A float is no size
    r"(^|\.)image_size(\[\d+\])?$": limits.SIDE,
    r"^threads$": limits.THREADS,
    r"^(grids|hooks\..*)\.(count|n)$": limits.COUNT,
    r"^model\.(?!.*(_steps|every|weight|rate|factor)$)": limits.SETTING,
}
_OURS = re.compile(r"collections OrderedDict|torch\._utils _rebuild_tensor_v2|torch [A-Z]\w+Storage")


# -- checkpoints ----------------------------------------------------------------------------------------------------


def check_container(data: bytes) -> None:
    """Raises ValueError unless a checkpoint's zip is stored as torch stores it and names tensors only.

    `weights_only=True` refuses code too, but calls `bytearray(2**40)`, and two readers of a .zip may see two files.
    """
    members_of(io.BytesIO(data))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = archive.infolist()
        names = [member.filename.lower() for member in members]
        # torch stores tensors uncompressed; a compressed member could grow without bound
        if any(member.compress_type != zipfile.ZIP_STORED for member in members) or (
            sum(member.file_size for member in members) > len(data)
        ):
            raise ValueError("compressed members are not part of the format")
        pickles = [member for member in members if member.filename.lower().endswith(".pkl")]
        if len(set(names)) < len(names) or len(pickles) != 1:
            raise ValueError("a checkpoint has one list of its content")
        if pickles[0].file_size > MAX_PICKLE:
            raise ValueError(f"its list of content has more than {MAX_PICKLE // 2**20} MiB")
        listed = archive.read(pickles[0])
    for opcode, argument, _ in genops(listed):
        if opcode.name in ("STACK_GLOBAL", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX") or "EXT" in opcode.name:
            raise ValueError("it holds more than tensors and plain values")
        if opcode.name == "GLOBAL" and not _OURS.fullmatch(str(argument)):
            raise ValueError(f"it names {printable(str(argument))!r:.80}, which is no tensor")


def leaves(value: Any) -> Iterator[Any]:
    """The values in nested dicts and lists. Raises ValueError for deep nesting, too many values, or other key types."""
    pending, seen = [(value, 0)], 0
    while pending:
        item, depth = pending.pop()
        seen += 1
        if seen > MAX_ITEMS or depth > limits.DEPTH:
            raise ValueError("its content is nested too deeply" if depth > limits.DEPTH else "it has too many parts")
        if isinstance(item, dict):
            if not all(isinstance(key, (str, int)) for key in item):
                raise ValueError("its keys are not all strings or whole numbers")
            pending += [(inner, depth + 1) for inner in item.values()]
        elif isinstance(item, (list, tuple)):
            pending += [(inner, depth + 1) for inner in item]
        else:
            yield item


class Wrong(NamedTuple):
    """An invalid setting: its key, its value, and the reason."""

    place: str
    value: Any
    why: str


def check_config(config: Mapping[str, Any]) -> None:
    """Raises ValueError that names the first invalid setting of a checkpoint's config."""
    if wrong := first_wrong(config):
        raise ValueError(f"its config's {wrong.place} {wrong.why}" if wrong.place else f"its config {wrong.why}")


def first_wrong(config: Mapping[str, Any]) -> Wrong | None:
    """The first setting that a run may not have, be it the user's own or out of a file; None where all is well.

    One function for both: whatever is trained can be opened again. Refused are interpolations (nothing would resolve
    them, and nothing should), control characters, keys that are no strings, numbers that are not finite, and those
    from which a constructor would never come back.
    """
    for count, (place, value, why) in enumerate(_settings(config, "")):
        if count > limits.SETTINGS:
            return Wrong("", None, f"has more than {limits.SETTINGS} settings")
        if why := why or _wrong(place, value):
            return Wrong(printable(place)[:80], value, why)
    return None


def _settings(value: Any, place: str, depth: int = 0) -> Iterator[tuple[str, Any, str | None]]:
    """(place, value, what is wrong with the place itself) of every setting and group."""
    if depth > limits.DEPTH:
        yield place, None, "is nested too deeply"
        return
    yield place, None if isinstance(value, (dict, list)) else value, None
    if isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str) or wrong_text(key):
                yield place, None, f"has the key {printable(str(key))[:80]!r}: keys are words"
            else:
                yield from _settings(inner, f"{place}.{key}" if place else key, depth + 1)
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _settings(inner, f"{place}[{number}]", depth + 1)


def _wrong(place: str, value: Any) -> str | None:
    if isinstance(value, str):
        return wrong_text(value)
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, float):
        return None if math.isfinite(value) else "is not a finite number"
    if not isinstance(value, int):
        return f"is a {type(value).__name__}"
    most = next((most for pattern, most in MOST.items() if re.search(pattern, place)), limits.INTEGER)
    if abs(value) <= most:
        return None
    hint = f" (where it is no size, write it as {float(value)!r})" if most == limits.SETTING and value < 10**15 else ""
    return f"is a number beyond {most}{hint}"


def wrong_text(text: str) -> str | None:
    """What is wrong with a string that a config may not have; None if nothing is. Letters of all scripts are fine."""
    if len(text) > limits.TEXT:
        return f"has more than {limits.TEXT} characters"
    if "${" in text:
        return "holds ${...}, which is not allowed here: it would not be resolved"
    control = any(unicodedata.category(letter) in ("Cc", "Cs") for letter in text if not letter.isprintable())
    return "has control characters in it, or bytes that are not text" if control else None


def only_reads(node: Any) -> Any:
    """A data set's config from a file, without downloads and without a new cache folder."""
    if isinstance(node, list):
        return [only_reads(item) for item in node]
    if not isinstance(node, dict):
        return node
    kept = {key: only_reads(value) for key, value in node.items()}
    if kept.get("download"):
        kept["download"] = False
    kept.pop("cache_gib", None)  # a small one would clear the user's cache
    cache = kept.get("cache")
    if isinstance(cache, str) and cache != "auto" and not any(Path(cache).expanduser().glob("*-*.json")):
        kept["cache"] = None
    return kept


def printable(text: str, keep: str = "") -> str:
    """The text with "?" in place of every control character that is not in `keep`.

    These are the control characters (C0, DEL, C1), what turns the direction of text, the two separators of lines, and
    the bytes of names that are no text: some terminals obey a bare 0x9B. Letters and spaces of every script pass.
    """
    return COMMANDS.sub(lambda found: found[0] if found[0] in keep else "?", text)


# -- numbers --------------------------------------------------------------------------------------------------------


def is_count(value: Any) -> bool:
    """A whole number from 0 to what 64 bits hold; true and 1.0 are none."""
    return type(value) is int and 0 <= value <= limits.INTEGER


def is_number(value: Any) -> bool:
    """Whether the value is a finite number of plausible size: not true, not text, not nan, not 10**400."""
    return type(value) in (int, float) and abs(value) <= LARGEST


# -- archives -------------------------------------------------------------------------------------------------------


def members_of(file: BinaryIO) -> int:
    """How many members a .zip lists, counted before an object is made of each. Raises ValueError for too many.

    What is counted are the entries themselves: the number that the archive states may be a lie.
    """
    end = file.seek(0, os.SEEK_END)
    start = file.seek(max(0, end - 2**16 - 100))
    tail = file.read()
    at = tail.rfind(b"PK\5\6")
    if at < 0 or len(tail) < at + 22:
        raise ValueError("it has no table of contents")
    size, wide = struct.unpack_from("<I", tail, at + 12)[0], tail.rfind(b"PK\6\6", 0, at)
    if wide >= 0 and tail[at - 20 : at - 16] == b"PK\6\7":  # more than 65,535 members, or 4 GiB
        size, at = struct.unpack_from("<Q", tail, wide + 40)[0], wide
    file.seek(max(0, start + at - size))
    count = file.read(min(size, MAX_CONTENTS)).count(b"PK\1\2")
    if size > MAX_CONTENTS or count > MAX_MEMBERS:
        raise ValueError(f"more than {MAX_MEMBERS} members, or names without end: unpack it first")
    return count
