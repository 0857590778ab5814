"""What a setting may be, said by a type hint: one language for the keys of commands and the arguments of classes.

pydantic would validate the same hints, but it would be a new required dependency, it changes values where ganrun only
refuses them, and its messages name neither the key as it is typed nor a way out. No torch, no Hydra.
"""

from __future__ import annotations

import difflib
import os
import re
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from ganrun.common.limits import COUNT, INTEGER, REAL, SETTING, SIDE, STEPS, TEXT, THREADS

UNIONS = (typing.Union, types.UnionType)
SHOWN = 80  # letters of a value in a message
FILE_NAME = 255  # bytes: the longest name that file systems take


@dataclass(frozen=True)
class At:
    """A range for a hint, `Annotated[int, At(1)]`: `least` and `most` are inclusive, `above` and `below` exclusive.

    A text beside it, `Annotated[..., "pixels, or [height, width]"]`, says in words what is wanted.
    """

    least: float | None = None
    most: float | None = None
    above: float | None = None
    below: float | None = None

    def holds(self, value: float) -> bool:
        return (
            (self.least is None or value >= self.least)
            and (self.most is None or value <= self.most)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
        )

    def words(self) -> str:
        if self.above is not None and self.below is not None:
            return f"between {self.above:g} and {self.below:g}, without the ends"
        low = f"above {self.above:g}" if self.above is not None else f"from {self.least}"
        low = "" if self.above is None and self.least is None else low
        if self.below is not None:
            return f"{low} to below {self.below:g}" if low else f"below {self.below:g}"
        if self.most is not None:
            return (
                f"{low} {'and up to' if self.above is not None else 'to'} {self.most}" if low else f"up to {self.most}"
            )
        return f"{low} up" if self.above is None and low else low


@dataclass(frozen=True)
class Matching:
    """A rule for text: all of it matches this regular expression."""

    pattern: str

    def holds(self, value: str) -> bool:
        return bool(re.fullmatch(self.pattern, value))

    def words(self, value: Any) -> str:
        return ""


@dataclass(frozen=True)
class AsPath:
    """A rule for text: a file system could have a file of this name."""

    def holds(self, value: str) -> bool:
        return bool(value.strip()) and len(value) <= TEXT and self._names_are_short(value)

    def words(self, value: Any) -> str:
        short = not isinstance(value, str) or self._names_are_short(value)
        return "a path" if short else f"a path; no file's name has more than {FILE_NAME} letters"

    def _names_are_short(self, value: str) -> bool:
        return all(len(os.fsencode(name)) <= FILE_NAME for name in re.split(r"[/\\]", value[:TEXT]))


@dataclass(frozen=True)
class NotEmpty:
    """A rule for lists."""


# the hints of ganrun's keys and of its classes' parameters; a class of yours may use them too
Setting = Annotated[int, At(1, SETTING)]  # sizes a network
Whole = Annotated[int, At(0, SETTING)]
Count = Annotated[int, At(1, INTEGER)]  # steps, pictures
Natural = Annotated[int, At(0, INTEGER)]
Pictures = Annotated[int, At(1, COUNT)]  # shown together
Pixels = Annotated[int, At(1, SIDE)]
Positive = Annotated[float, At(above=0)]
Weight = Annotated[float, At(0)]
Share = Annotated[float, At(0, 1)]
Decay = Annotated[float, At(0, below=1)]
Steps = Annotated[int, At(1, STEPS)]
Threads = Annotated[int, At(1, THREADS)]
Device = Annotated[str, Matching(r"auto|cpu|mps|cuda(:\d+)?"), "auto | cpu | cuda | cuda:1 | mps"]
Devices = (
    Annotated[str, Matching(r"all|auto|cpu|mps|cuda(:\d+)?"), "auto | cpu | cuda | cuda:1 | mps | all"]
    | Annotated[Sequence[Device], NotEmpty(), "several: cuda:0,cuda:1"]
)
PathText = Annotated[str, AsPath()]
Package = Annotated[str, Matching(r"[^\W\d]\w*(\.[^\W\d]\w*)*")]
Group = Mapping  # a group of settings, each with a check of its own elsewhere

OF_TORCH: dict[str, At] = {  # its optimizers say their types, not their ranges
    "lr": At(above=0),
    "betas": At(0, below=1),
    "eps": At(0, 1),
    "weight_decay": At(0),
    "momentum": At(0, below=1),
    "momentum_decay": At(0, 1),
    "dampening": At(0, 1),
    "alpha": At(0, 1),
    "rho": At(0, 1),
    "lr_decay": At(0),
    "initial_accumulator_value": At(0),
}


class Unfit(ValueError):
    """A value that its place has no use for; the message says what would do, without the key."""


class Kind(typing.NamedTuple):
    """One kind of value that a hint allows: a type, and the notes that surround it, the nearest first."""

    type: Any
    notes: tuple[Any, ...] = ()

    @property
    def range(self) -> At | None:
        return next((note for note in self.notes if isinstance(note, At)), None)

    @property
    def text_rule(self) -> Matching | AsPath | None:
        return next((note for note in self.notes if isinstance(note, (Matching, AsPath))), None)

    @property
    def words(self) -> str:
        return next((note for note in self.notes if isinstance(note, str)), "")


def fitted(value: Any, hint: Any, at: At | None = None) -> Any:
    """A plain value as the parameter with this hint wants it: the same, or digits as text, a list as a tuple.

    Raises Unfit, "must be …", for another kind or size. Where there is no hint, only the range of numbers is checked.
    """
    kinds = kinds_of(hint, () if at is None else (at,))
    if any(kind.type in (None, Any, object) for kind in kinds):
        _check_numbers(value)
        return value
    for kind in kinds:
        matches, found = _match(value, kind)
        if matches:
            return found
    digits = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**SHOWN
    if digits and any(kind.type is str and _match(str(value), kind)[0] for kind in kinds):
        return str(value)  # a folder or a class that is called 3
    raise Unfit(f"must be {_described(kinds, value)}{_way_out(value, kinds)}")


def kinds_of(hint: Any, notes: tuple[Any, ...] = ()) -> list[Kind]:
    """What a hint allows: the members of its unions, each with the notes of every Annotated around it."""
    if typing.get_origin(hint) is Annotated:
        inner, *own = typing.get_args(hint)
        return kinds_of(inner, (*own, *notes))
    if typing.get_origin(hint) in UNIONS:
        return [kind for member in typing.get_args(hint) for kind in kinds_of(member, notes)]
    return [Kind(hint, notes)]


def _match(value: Any, kind: Kind) -> tuple[bool, Any]:
    """Whether a value is of this one kind, and what it becomes."""
    hint, rule = kind.type, kind.text_rule
    if hint in (int, float):
        return _is_number(value, hint, kind.range), value
    if hint is bool:
        return isinstance(value, bool), value
    if hint is type(None):
        return value is None, value
    if hint is str:
        return isinstance(value, str) and (rule is None or rule.holds(value)), value
    if hint is Group:
        return isinstance(value, Mapping), value
    origin, inside = typing.get_origin(hint) or hint, typing.get_args(hint)
    if origin is Literal:
        return any(value is choice or (value == choice and type(value) is type(choice)) for choice in inside), value
    if origin in (tuple, list) or (isinstance(origin, type) and issubclass(origin, Sequence)):
        return _match_items(value, origin, inside, kind)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        if not isinstance(value, Mapping):
            return False, value
        return True, {key: fitted(item, inside[1] if inside else Any) for key, item in value.items()}
    return isinstance(origin, type) and isinstance(value, origin), value  # an object that was built already


def _match_items(value: Any, origin: Any, inside: tuple[Any, ...], kind: Kind) -> tuple[bool, Any]:
    if not isinstance(value, (list, tuple)) or (not value and NotEmpty() in kind.notes):
        return False, value
    if origin is tuple and inside and inside[-1] is not Ellipsis:
        if len(value) != len(inside):
            return False, value
        hints = inside
    else:
        hints = (inside[0] if inside else Any,) * len(value)
    try:
        items = [fitted(item, hint, kind.range) for item, hint in zip(value, hints, strict=True)]
    except Unfit:
        return False, value
    if origin is not tuple:
        return True, items
    return True, tuple(float(item) if _wants_float(hint) else item for item, hint in zip(items, hints, strict=True))


def _wants_float(hint: Any) -> bool:
    types_ = [kind.type for kind in kinds_of(hint)]
    return float in types_ and int not in types_


def _is_number(value: Any, kind: type, at: At | None) -> bool:
    if isinstance(value, bool) or not isinstance(value, int if kind is int else (int, float)):
        return False
    return _bounded(value, at)


def _bounded(value: float, at: At | None) -> bool:
    most = REAL if isinstance(value, float) else INTEGER
    return -most <= value <= most and (at is None or at.holds(value))  # also false for nan


def _check_numbers(value: Any) -> None:
    """Every number in it is finite and not beyond what any run could use. Raises Unfit."""
    if isinstance(value, Mapping):
        for item in value.values():
            _check_numbers(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            _check_numbers(item)
    elif isinstance(value, (int, float)) and not _bounded(value, None):
        raise Unfit(f"must hold numbers from {-REAL} to {REAL} only, whole ones up to {INTEGER}")


# -- in words ------------------------------------------------------------------------------------------------------


def described(hint: Any, value: Any = None, at: At | None = None) -> str:
    """What a hint asks for, in words: "a whole number from 1 up, or null". A limit is only told where it was passed."""
    return _described(kinds_of(hint, () if at is None else (at,)), value)


def _described(kinds: list[Kind], value: Any) -> str:
    words: list[str] = []
    for kind in kinds:
        word = kind.words or _described_one(kind, value)
        if word and word not in words:
            words.append(word)
    return ", or ".join(words) or "something else"


def _described_one(kind: Kind, value: Any) -> str:
    hint = kind.type
    if hint in (int, float):
        return _described_number("a whole number" if hint is int else "a number", kind.range, value)
    if hint is bool:
        return "true or false"
    if hint is type(None):
        return "null"
    if hint is str:
        return (kind.text_rule.words(value) if kind.text_rule else "") or "text"
    origin, inside = typing.get_origin(hint) or hint, typing.get_args(hint)
    if origin is Literal:
        return " | ".join(str(choice).lower() for choice in inside)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        each = described(inside[1]) if inside and "_target_" in described(inside[1]) else ""
        return f"a group, each in it {each}" if each else "a group of settings"
    if origin in (tuple, list) or (isinstance(origin, type) and issubclass(origin, Sequence)):
        fixed = origin is tuple and inside and inside[-1] is not Ellipsis
        each = f", each {described(inside[0], None, kind.range)}" if inside else ""
        return (f"a list of {len(inside)}" if fixed else "a list [...]") + each
    if getattr(origin, "__name__", "") == "Tensor":  # no config can hold one
        return ""
    if not isinstance(origin, type):
        return ""
    return f"{'an' if origin.__name__[0] in 'AEIOU' else 'a'} {origin.__name__} with its _target_"


def _described_number(kind: str, at: At | None, value: Any) -> str:
    at = at or At()
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    largest = REAL if isinstance(value, float) else INTEGER
    passed = number and (value > largest or (at.most is not None and value > at.most) or value < -largest)
    if at.most is not None and at.most >= SIDE and not passed:  # a limit that few ever meet
        at = At(at.least, None, at.above, at.below)
    elif at.most is None and at.below is None and passed:
        at = At(at.least if at.least is not None or at.above is not None else -largest, largest, at.above, None)
    words = at.words()
    return f"{kind} {words}" if words else kind


MEANT = {"k": 10**3, "m": 10**6, "g": 10**9}  # 100k steps
NOTHING, YES, NO = ("auto", "none", "default"), ("yes", "on", "1"), ("no", "off", "none", "0")


def _way_out(value: Any, kinds: list[Kind]) -> str:
    """A clause for what was only written in another way: 100k, 1e3, 64px, yes, none."""
    word = str(value).lower().strip() if isinstance(value, (str, int, float)) and not isinstance(value, bool) else ""
    candidates: list[Any] = [_number_in(word)] if word else []
    candidates += [True] * (word in YES) + [False] * (word in NO)
    for other in candidates:
        if other is not None and any(_match(other, kind)[0] for kind in kinds):
            return f": write {shown(other)}"
    if word in NOTHING and any(kind.type is type(None) for kind in kinds):
        return ": write null"
    choices = [
        str(one) for kind in kinds if typing.get_origin(kind.type) is Literal for one in typing.get_args(kind.type)
    ]
    close = difflib.get_close_matches(word, choices, cutoff=0.5)
    return f"; nearest: {', '.join(close)}" if close else ""


def _number_in(word: str) -> float | int | None:
    """100k -> 100000, 1_000 -> 1000, 64px -> 64, 1e3 -> 1000; None where there is no number in it."""
    found = re.fullmatch(r"([-+]?\d+(?:\.\d+)?(?:e[-+]?\d{1,2})?)\s?([kmg]|px|%)?", word.replace("_", "")[: SHOWN + 1])
    if not found:
        return None
    number = float(found[1]) * MEANT.get(found[2] or "", 1) / (100 if found[2] == "%" else 1)
    return int(number) if number.is_integer() else number


def shown(value: Any) -> str:
    """A value as a user may write it, cut where it is long."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    try:
        text = str(value)
    except ValueError:  # Python writes no number of more than 4,300 digits
        return "a number of thousands of digits"
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
