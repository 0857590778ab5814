"""untrusted: what a file made by someone else may ask for, found out before it is given (no torch here)."""

from __future__ import annotations

import io
import os
import re
import struct
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from pickletools import genops  # names what a pickle would do, and does nothing
from typing import Any, BinaryIO

MAX_PICKLE = 4 * 2**20  # bytes; 25,000 tensors take less, and a byte may unfold to 70
MAX_ITEMS, MAX_DEPTH = 500_000, 32
MAX_CONFIG_ITEMS, MAX_TEXT = 10_000, 4096
MAX_NUMBER, MAX_SETTING, MAX_SIDE = 2**63, 2**16, 4096  # anywhere; of a model; of a picture's pixels
MAX_CONTENTS, MAX_MEMBERS = 64 * 2**20, 400_000  # of a .zip: a million would take 12 s and 500 MB to list
COMMANDS = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
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
    """What nested dicts and lists hold. Raises ValueError for what is too deep, too much, or keyed by anything else."""
    pending, seen = [(value, 0)], 0
    while pending:
        item, depth = pending.pop()
        seen += 1
        if seen > MAX_ITEMS or depth > MAX_DEPTH:
            raise ValueError("its content is nested too deeply" if depth > MAX_DEPTH else "it has too many parts")
        if isinstance(item, dict):
            if not all(isinstance(key, (str, int)) for key in item):
                raise ValueError("its keys are not all strings or whole numbers")
            pending += [(inner, depth + 1) for inner in item.values()]
        elif isinstance(item, (list, tuple)):
            pending += [(inner, depth + 1) for inner in item]
        else:
            yield item


def check_config(config: Mapping[str, Any]) -> None:
    """Raises ValueError that names the setting which no config of ours has.

    Refused are interpolations (nothing would resolve them, and nothing should), control characters, keys that are no
    strings, and numbers from which a constructor would never come back.
    """
    for count, (place, value) in enumerate(_settings(config, "")):
        if count > MAX_CONFIG_ITEMS:
            raise ValueError(f"its config has more than {MAX_CONFIG_ITEMS} settings")
        wrong = _wrong(place, value)
        if wrong:
            raise ValueError(f"its config's {place[:80]} {wrong}")


def _settings(value: Any, place: str, depth: int = 0) -> Iterator[tuple[str, Any]]:
    if depth > MAX_DEPTH:
        raise ValueError(f"its config is nested too deeply at {place[:80]}")
    yield place, None if isinstance(value, (dict, list)) else value
    if isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str) or wrong_text(key):
                raise ValueError(f"its config has the key {printable(str(key))[:80]!r} in {place[:80] or 'it'}")
            yield from _settings(inner, f"{place}.{key}" if place else key, depth + 1)
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _settings(inner, f"{place}[{number}]", depth + 1)


def _wrong(place: str, value: Any) -> str | None:
    if isinstance(value, str):
        return wrong_text(value)
    if value is None or isinstance(value, (bool, float)):
        return None
    if not isinstance(value, int):
        return f"is a {type(value).__name__}"
    most = MAX_NUMBER
    if re.search(r"\b(image_size|count|threads)(\[\d+\])?$", place):
        most = MAX_SIDE
    elif place.startswith(("model.", "loss.")) and not place.endswith("_steps"):
        most = MAX_SETTING
    return f"is a number beyond {most}" if abs(value) > most else None


def wrong_text(text: str) -> str | None:
    """What is wrong with a string that came out of a file; None if nothing is."""
    if len(text) > MAX_TEXT:
        return f"has more than {MAX_TEXT} letters"
    if "${" in text:
        return "holds an interpolation, ${...}: a checkpoint's config is finished, and nothing in it is looked up"
    return "has control characters in it" if printable(text) != text else None


def only_reads(node: Any) -> Any:
    """A data set's node out of a file: it fetches nothing, and keeps a cache in the usual place or where one is."""
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
    """With "?" for what commands a terminal, but for the characters in `keep`; what a file says reaches people.

    These are the control characters (C0, DEL, C1), what turns the direction of text, the two separators of lines, and
    the bytes of names that are no text: some terminals obey a bare 0x9B. Letters and spaces of every script pass.
    """
    return COMMANDS.sub(lambda found: found[0] if found[0] in keep else "?", text)


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
