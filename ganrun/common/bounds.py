"""bounds: what a setting may be, read from the type hint of the parameter that it goes to. No torch, no Hydra."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from ganrun.common.limits import COUNT, INTEGER, REAL, SETTING, SIDE

UNIONS = (typing.Union, types.UnionType)
SHOWN = 80  # letters of a value in a message


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
        low = f"above {self.above:g}" if self.above is not None else f"from {self.least}"
        low = "" if self.above is None and self.least is None else low
        if self.below is not None:
            return f"{low} to below {self.below:g}" if low else f"below {self.below:g}"
        if self.most is not None:
            return (
                f"{low} {'and up to' if self.above is not None else 'to'} {self.most}" if low else f"up to {self.most}"
            )
        return f"{low} up" if self.above is None and low else low


# what the parameters of ganrun's classes are hinted with, and a class of yours may be
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


def fitted(value: Any, hint: Any, at: At | None = None) -> Any:
    """A plain value as the parameter with this hint wants it: the same, or digits as text, a list as a tuple.

    Raises Unfit, "must be …", for another kind or size. Where there is no hint, only numbers are looked at.
    """
    parts = _parts(hint)
    if hint is None or Any in parts or object in parts:
        _check_numbers(value)
        return value
    for part in parts:
        matches, found = _match(value, part, at)
        if matches:
            return found
    if str in parts and isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**SHOWN:
        return str(value)  # a folder or a class that is called 3
    raise Unfit(f"must be {described(hint, value, at)}")


def _parts(hint: Any) -> list[Any]:
    """The members of a union, those of unions inside it too; a hint that is none by itself."""
    if typing.get_origin(hint) in UNIONS:
        return [inner for part in typing.get_args(hint) for inner in _parts(part)]
    if typing.get_origin(hint) is Annotated and typing.get_origin(typing.get_args(hint)[0]) in UNIONS:
        return _parts(typing.get_args(hint)[0])
    return [hint]


def _unwrapped(hint: Any, at: At | None) -> tuple[Any, At | None]:
    if typing.get_origin(hint) is Annotated:
        inner, *notes = typing.get_args(hint)
        return inner, next((note for note in notes if isinstance(note, At)), at)
    return hint, at


def _match(value: Any, hint: Any, at: At | None) -> tuple[bool, Any]:
    """Whether a value is of this one kind, and what it becomes."""
    hint, at = _unwrapped(hint, at)
    if hint in (int, float):
        return _is_number(value, hint, at), value
    if hint is bool:
        return isinstance(value, bool), value
    if hint is None or hint is type(None):
        return value is None, value
    if hint is str:
        return isinstance(value, str), value
    origin, inside = typing.get_origin(hint) or hint, typing.get_args(hint)
    if origin is Literal:
        return any(value is choice or (value == choice and type(value) is type(choice)) for choice in inside), value
    if origin in (tuple, list) or (isinstance(origin, type) and issubclass(origin, Sequence)):
        return _match_items(value, origin, inside, at)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        if not isinstance(value, Mapping):
            return False, value
        return True, {key: fitted(item, inside[1] if inside else Any) for key, item in value.items()}
    return isinstance(origin, type) and isinstance(value, origin), value  # an object that was built already


def _match_items(value: Any, origin: Any, inside: tuple[Any, ...], at: At | None) -> tuple[bool, Any]:
    if not isinstance(value, (list, tuple)):
        return False, value
    if origin is tuple and inside and inside[-1] is not Ellipsis:
        if len(value) != len(inside):
            return False, value
        hints = inside
    else:
        hints = (inside[0] if inside else Any,) * len(value)
    try:
        items = [fitted(item, hint, at) for item, hint in zip(value, hints, strict=True)]
    except Unfit:
        return False, value
    if origin is not tuple:
        return True, items
    return True, tuple(float(item) if _wants_float(hint) else item for item, hint in zip(items, hints, strict=True))


def _wants_float(hint: Any) -> bool:
    parts = [_unwrapped(part, None)[0] for part in _parts(hint)]
    return float in parts and int not in parts


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
    if typing.get_origin(hint) is Annotated:
        for note in typing.get_args(hint)[1:]:
            if isinstance(note, str):
                return note
    words: list[str] = []
    for part in _parts(hint):
        word = _described_one(*_unwrapped(part, at), value)
        if word and word not in words:
            words.append(word)
    return ", or ".join(words) or "something else"


def _described_one(hint: Any, at: At | None, value: Any) -> str:
    if hint in (int, float):
        return _described_number("a whole number" if hint is int else "a number", at, value)
    if hint is bool:
        return "true or false"
    if hint is None or hint is type(None):
        return "null"
    if hint is str:
        return "text"
    origin, inside = typing.get_origin(hint) or hint, typing.get_args(hint)
    if origin is Literal:
        return " | ".join(str(choice).lower() for choice in inside)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        each = described(inside[1]) if inside and "_target_" in described(inside[1]) else ""
        return f"a group, each in it {each}" if each else "a group of settings"
    if origin in (tuple, list) or (isinstance(origin, type) and issubclass(origin, Sequence)):
        fixed = origin is tuple and inside and inside[-1] is not Ellipsis
        each = f", each {described(inside[0], None, at)}" if inside else ""
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


def shown(value: Any) -> str:
    """A value as a user may write it, cut where it is long."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    try:
        text = str(value)
    except ValueError:  # Python writes no number of more than 4,300 digits
        return "a number of thousands of digits"
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
