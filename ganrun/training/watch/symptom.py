"""Symptom: one way in which a run goes wrong, found in its numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from ganrun.systems.roles import Role

Row = Mapping[str, float]  # "step" and what was read there: player/term, player/gradient_norm, samples/diversity, ...
Config = Mapping[str, Any]


class Finding(NamedTuple):
    """What was found, with numbers; the override to try; the step since which it has been so."""

    saw: str
    advice: str
    since: int


class Symptom:
    """Gets every row of a run in order, and remembers what it needs.

    A resumed run reads the rows of metrics.jsonl again, so a symptom may use nothing but rows. With
    `of_samples_from_noise` it is left out where the system needs pictures as inputs.
    """

    of_samples_from_noise = False
    roles: Mapping[str, Role] = MappingProxyType({})  # of the players, by name
    reads = "/gradient_norm"  # part of a key; only rows with such a key can show that the symptom has ended

    def begin(self, roles: Mapping[str, Role]) -> None:
        """Called before the first row of a run, with the role of each player."""
        self.roles = roles

    def discriminates(self, player: str) -> bool:
        return self.roles.get(player) is Role.DISCRIMINATOR

    def look(self, row: Row, config: Config) -> Finding | None:
        """What is wrong at this row, at each row as long as it lasts; None where nothing is."""
        raise NotImplementedError


class Streak:
    """For each key, since when something has been true without a break."""

    def __init__(self) -> None:
        self.held: dict[str, tuple[int, int]] = {}  # rows, step of the row before the first
        self.last: dict[str, int] = {}

    def so(self, key: str, step: float, holds: bool) -> tuple[int, int, int]:
        """(rows in a row, the steps they cover, the step since which it holds); zeros where it does not hold."""
        before = self.last.get(key, int(step))
        self.last[key] = int(step)
        if not holds:
            self.held.pop(key, None)
            return 0, 0, 0
        rows, since = self.held.get(key, (0, before))
        self.held[key] = rows + 1, since
        return rows + 1, int(step) - since, since


def players(row: Row, name: str) -> Iterator[tuple[str, float]]:
    """Each player that has a value of this name in the row, and the value."""
    for key, value in row.items():
        player, _, own = key.partition("/")
        if own == name:
            yield player, value
