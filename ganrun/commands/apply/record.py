"""The record of a folder of outputs: what is done, of which inputs, with which checkpoint and settings."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ganrun.commands.apply.fidelity import Row
from ganrun.common.atomic import make_folder, write_text
from ganrun.common.bounds import shown
from ganrun.common.errors import UserError
from ganrun.common.regular_files import read_regular
from ganrun.common.untrusted import is_count, printable
from ganrun.data.sources import Picture

FILE = ".apply.json"
VERSION = 1
MAX_BYTES = 2**28  # of a record: it has about 200 bytes for each picture
SECONDS = 2.0  # between two writes: what was done after the last one is done again
AT_MOST = 0.05  # part of the time that is spent on writing the record

Settings = dict[str, Any]  # what the outputs depend on, and what is written besides them


class Entry(NamedTuple):
    """One picture that is done."""

    input: tuple[int, int]  # size and stamp of its file
    target: tuple[int, int] | None
    output: int  # bytes of its file
    converted: bool
    row: Row | None  # of results.csv
    note: str | None  # why it could not be measured
    file: str  # the name of its file


def stamp(picture: Picture | None) -> tuple[int, int] | None:
    return None if picture is None else (picture.size, picture.stamp)


class Record:
    """Keeps the record of one folder. It is written as a whole every few seconds, so a kill loses seconds of work."""

    def __init__(self, out: Path, settings: Settings, side: int | None, done: dict[str, Entry] | None = None) -> None:
        self.out, self.settings, self.side = out, settings, side
        self.done: dict[str, Entry] = {} if done is None else done
        self.next = 0.0  # when it may be written again
        self.lock, self.begun = threading.Lock(), False

    def begin(self) -> None:
        """Called before each output is written: a folder with outputs has a record, whenever the command is killed."""
        with self.lock:
            if not self.begun:
                self.write()

    def add(self, name: str, entry: Entry, side: int | None) -> None:
        self.done[name], self.side = entry, side
        if time.monotonic() >= self.next:
            self.write()

    def write(self) -> None:
        """Raises UserError if the folder cannot be written."""
        started = time.monotonic()
        content = {"version": VERSION, "settings": self.settings, "side": self.side, "done": self.done}
        try:
            make_folder(self.out)
            write_text(self.out / FILE, json.dumps(content), self.out)
        except OSError as error:
            raise UserError(f"out={self.out / FILE} cannot be written: {error.strerror}") from None
        self.begun, now = True, time.monotonic()
        self.next = now + max(SECONDS, (now - started) / AT_MOST)


def read_record(out: Path) -> Record | None:
    """The record of a folder; None if there is none. Raises UserError for a damaged one."""
    if not (out / FILE).exists():
        return None
    try:
        content = json.loads(read_regular(out / FILE, MAX_BYTES))
        if content["version"] != VERSION:
            raise ValueError(f"its version is {shown(content['version'])}, not {VERSION}")
        settings, side = content["settings"], content["side"]
        if not isinstance(settings, dict) or not (side is None or (is_count(side) and side > 0)):
            raise ValueError("it holds other settings than ganrun writes")
        found = {str(name): entry(each) for name, each in content["done"].items()}
        return Record(out, settings, side, {name: each for name, each in found.items() if each is not None})
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        why = printable(" ".join(str(error).split()))[:200]
        raise UserError(f"out={out / FILE} is damaged ({why}): begin anew with overwrite=true") from None


def entry(found: Any) -> Entry | None:
    """None for what ganrun does not write now: then the picture is done again."""
    try:
        source, target, output, converted, row, note, file = found
        made = Entry(pair(source), None if target is None else pair(target), output, converted, row, note, str(file))
    except (TypeError, ValueError):
        return None
    fits = is_count(output) and isinstance(converted, bool) and isinstance(note, (str, type(None)))
    return made if fits and (row is None or is_row(row)) else None


def pair(found: Any) -> tuple[int, int]:
    size, stamped = found
    return int(size), int(stamped)


def is_row(row: Any) -> bool:
    return (
        isinstance(row, dict)
        and isinstance(row.get("file"), str)
        and all(key == "file" or value is None or type(value) in (int, float) for key, value in row.items())
    )


def differences(now: Mapping[str, Any], before: Mapping[str, Any]) -> list[str]:
    """The settings that changed, in words: "weights=raw (was ema)". The checkpoint is named without its hash."""
    changed = [key for key in now if key not in before or now[key] != before[key]]
    return [
        "the checkpoint is another"
        if key == "checkpoint"
        else f"{key}={shown(now[key])} (was {shown(before.get(key))})"
        for key in changed
    ]
