"""user_yaml: the yaml of a user's --config-dir, looked at before it is loaded: what is wrong names file and line.

Also what no loader survives: aliases that unfold without end, lists thousands deep. No Hydra, no torch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ganrun.common.errors import UserError
from ganrun.common.limits import DEPTH, SETTINGS

MAX_BYTES = 4 * 2**20
TAGS = {f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "seq", "map")}
PROBLEMS = (  # in PyYAML's words -> in ours
    ("cannot start any token", "a tab or a sign that yaml keeps for itself: indent with spaces, quote the value"),
    ("mapping values are not allowed", "a colon too many, or wrong indentation: quote a value that has a colon in it"),
    ("could not find expected ':'", "a key without its colon, or a quote or bracket that is not closed"),
    ("found unexpected end of stream", "a quote that is not closed"),
    ("expected <block end>", "wrong indentation, or a quote too many"),
    ("expected ',' or", "a bracket that is not closed"),
    ("exceeded maximum depth", "nested far too deeply"),
    ("unacceptable character", "a control character: save the file as plain text"),
)


def check_yaml(path: Path) -> None:
    """Raises UserError that names the file, and the line where there is one."""
    text = _text_of(path)
    place = "line 1"
    try:
        events = _events(text)
        _Reader(path).read(events)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        place = f"line {mark.line + 1}" if mark else _line_of_control(text)
        raise UserError(f"{path}, {place}: {_in_our_words(str(error))}") from None


def check_folder(folder: Path, written: str) -> None:
    """Raises UserError for a --config-dir that holds nothing to find."""
    way = "give a folder with yaml or classes in it, such as DIR/loss/mine.yaml for loss=mine"
    try:
        if not folder.is_dir():
            raise UserError(f"--config-dir {written}: {'a file, and ' if folder.exists() else ''}no such folder; {way}")
        empty = not any(folder.iterdir())
    except OSError as error:
        raise UserError(f"--config-dir {written}: {error.strerror}; {way}") from None
    if empty:
        raise UserError(f"--config-dir {written} is empty; {way}")


def _events(text: str) -> Iterator[Any]:
    yield from yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def _text_of(path: Path) -> str:
    try:
        data = path.read_bytes() if path.stat().st_size <= MAX_BYTES else None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    if data is None:
        raise UserError(f"{path} has more than {MAX_BYTES // 2**20} MiB: no config is so long")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise UserError(f"{path}, line {line}: not UTF-8 text: save the file in the encoding UTF-8") from None
    if "\0" in text:
        raise UserError(f"{path}, {_line_of_control(text)}: not UTF-8 text: save the file in the encoding UTF-8")
    return text


def _line_of_control(text: str) -> str:
    at = next((i for i, letter in enumerate(text) if not letter.isprintable() and letter not in "\n\r\t"), 0)
    return f"line {text[:at].count(chr(10)) + 1}"


def _in_our_words(problem: str) -> str:
    return next((ours for theirs, ours in PROBLEMS if theirs in problem), "yaml cannot read on from here")


@dataclass
class _Node:
    """A list or mapping that is being read."""

    line: int
    mapping: bool
    anchor: str | None
    size: int = 1  # settings in it, with all that aliases bring
    keys: set[str] = field(default_factory=set)
    at_key: bool = True


class _Reader:
    """Follows the events of a file, and builds nothing."""

    def __init__(self, path: Path) -> None:
        self.path, self.open, self.sizes = path, list[_Node](), dict[str, int]()
        self.reading: set[str] = set()

    def read(self, events: Iterator[Any]) -> None:
        documents = 0
        for event in events:
            line = event.start_mark.line + 1
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self.refuse(line, "a second document, after ---: leave one")
            elif isinstance(event, yaml.AliasEvent):
                if event.anchor in self.reading:
                    self.refuse(line, f"*{event.anchor} stands inside of itself")
                if event.anchor not in self.sizes:
                    self.refuse(line, f"an alias *{event.anchor} without its &{event.anchor} before it")
                self.add(line, self.sizes[event.anchor], None)
            elif isinstance(event, yaml.ScalarEvent):
                self.scalar(event, line)
            elif isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
                self.start(event, line)
            elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
                self.end(line)

    def scalar(self, event: Any, line: int) -> None:
        self.check_tag(event, line)
        if not self.open and event.value:
            self.refuse(line, f"it holds only {event.value[:40]!r}: a config is lines of key: value")
        if event.anchor:
            self.sizes[event.anchor] = 1
        self.add(line, 1, event.value)

    def start(self, event: Any, line: int) -> None:
        self.check_tag(event, line)
        mapping = isinstance(event, yaml.MappingStartEvent)
        if not self.open and not mapping:
            self.refuse(line, "it holds a list: a config is lines of key: value")
        if len(self.open) >= DEPTH:
            self.refuse(line, f"nested more than {DEPTH} deep")
        if event.anchor:
            self.reading.add(event.anchor)
        self.open.append(_Node(line, mapping, event.anchor))

    def end(self, line: int) -> None:
        node = self.open.pop()
        if node.anchor:
            self.reading.discard(node.anchor)
            self.sizes[node.anchor] = node.size
        if self.open:
            self.add(line, node.size, None)

    def add(self, line: int, size: int, key: str | None) -> None:
        """One more key or value for what is open."""
        if not self.open:
            return
        node = self.open[-1]
        node.size += size
        if node.size > SETTINGS:
            self.refuse(line, f"more than {SETTINGS} settings, what aliases repeat included")
        if node.mapping:
            if node.at_key and key is not None and key != "<<":
                if key in node.keys:
                    self.refuse(line, f"the key {key[:40]} is there twice: leave one")
                node.keys.add(key)
            node.at_key = not node.at_key

    def check_tag(self, event: Any, line: int) -> None:
        if event.tag and event.tag not in TAGS and event.tag != "!":
            self.refuse(
                line, f"the tag {event.tag.rpartition(':2002:')[2][:40]} is no part of a config: give the plain value"
            )

    def refuse(self, line: int, why: str) -> None:
        raise UserError(f"{self.path}, line {line}: {why}")
