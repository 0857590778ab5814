"""Symptom: one way in which a run can go wrong, found in its logged numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from ganrun.systems.roles import Role

# "step" and the numbers that were logged at it: player/term, player/gradient_norm, samples/diversity, ...
Row = Mapping[str, float]
Config = Mapping[str, Any]


class Finding(NamedTuple):
    """A symptom that was found: a description with numbers, the override to try, and the step where it began."""

    saw: str
    advice: str
    since: int


class Symptom:
    """Gets every row of a run in order, and stores what it needs from it.

    A symptom may use only rows, because a resumed run reads them again from metrics.jsonl. `of_samples_from_noise`
    True: it is not used with systems that need pictures as inputs.
    """

    of_samples_from_noise = False
    roles: Mapping[str, Role] = MappingProxyType({})  # of the players, by name
    reads = "/gradient_norm"  # a part of keys; only a row with such a key can show that the symptom has ended

    def begin(self, roles: Mapping[str, Role]) -> None:
        """Called before the first row of a run, with the role of each player."""
        self.roles = roles

    def discriminates(self, player: str) -> bool:
        return self.roles.get(player) is Role.DISCRIMINATOR

    def look(self, row: Row, config: Config) -> Finding | None:
        """The finding at this row, and again at each later row as long as the symptom lasts. None: no symptom."""
        raise NotImplementedError


class Streak:
    """For each key, how long a condition has been true without a break."""

    def __init__(self) -> None:
        self.held: dict[str, tuple[int, int]] = {}  # rows, step of the row before the first
        self.last: dict[str, int] = {}

    def so(self, key: str, step: float, holds: bool) -> tuple[int, int, int]:
        """(consecutive rows for which the condition holds, steps that they cover, first of these steps), or zeros."""
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
