"""Gradients that vanish or explode, by what they usually are in this run."""

from __future__ import annotations

import math

from ganrun.common.bounds import Natural, Weight
from ganrun.training.watch.advice import tamer_game, with_rate
from ganrun.training.watch.symptom import Config, Finding, Row, Streak, Symptom, players

FEW = 5  # measurements until a norm counts as usual


class Usual:
    """The usual norm of each player: the geometric mean, the latest tenth by tenth, of those that were not strange."""

    def __init__(self) -> None:
        self.logs: dict[str, float] = {}
        self.counts: dict[str, int] = {}

    def of(self, player: str) -> float | None:
        """None while too few have been seen."""
        return math.exp(self.logs[player]) if self.counts.get(player, 0) >= FEW else None

    def add(self, player: str, norm: float) -> None:
        if norm <= 0:  # a hinge that is content has no gradient at all: no scale for what comes after
            return
        count = self.counts[player] = self.counts.get(player, 0) + 1
        before = self.logs.get(player, 0.0)
        self.logs[player] = before + (math.log(norm) - before) / min(count, 10)


class GradientVanishes(Symptom):
    """A player's gradient norm is below `fraction` of what it was, or of `weights` times its weights', for `steps`.

    Not of discriminators: theirs vanishes where they win, which is another symptom.
    """

    def __init__(self, fraction: Weight = 1e-3, weights: Weight = 1e-10, steps: Natural = 150) -> None:
        self.fraction, self.weights, self.steps = fraction, weights, steps
        self.usual, self.streak = Usual(), Streak()

    def look(self, row: Row, config: Config) -> Finding | None:
        found = None
        for player, norm in players(row, "gradient_norm"):
            if self.discriminates(player):
                continue
            usual = self.usual.of(player)
            least = max(self.fraction * (usual or 0.0), self.weights * row.get(f"{player}/weight_norm", 0.0))
            rows, steps, since = self.streak.so(player, row["step"], norm <= least)
            if not rows:
                self.usual.add(player, norm)
            elif rows >= 3 and steps >= self.steps:
                was = f", it was {usual:.2g}" if usual else ""
                found = Finding(
                    f"{player}'s gradient vanishes: its norm is {norm:.2g}{was}, for {steps} steps",
                    self.remedy(row, config, player),
                    since,
                )
        return found

    def remedy(self, row: Row, config: Config, player: str) -> str:
        """A slower discriminator, which is too sure for the player to learn from; without one, a slower player."""
        judge = next((name for name, _ in players(row, "gradient_norm") if self.discriminates(name)), player)
        if judge == player:
            return with_rate(config, player, 0.25)
        return f"{with_rate(config, judge, 0.25)} or {tamer_game(config)}"


class GradientExplodes(Symptom):
    """A player's gradient norm is above `factor` times what it was and above its weights' own norm, for `steps`."""

    def __init__(self, factor: Weight = 300.0, steps: Natural = 100) -> None:
        self.factor, self.steps = factor, steps
        self.usual, self.streak = Usual(), Streak()

    def look(self, row: Row, config: Config) -> Finding | None:
        found = None
        for player, norm in players(row, "gradient_norm"):
            usual = self.usual.of(player)
            most = max(self.factor * usual, row.get(f"{player}/weight_norm", 0.0)) if usual else math.inf
            rows, steps, since = self.streak.so(player, row["step"], norm >= most)
            if not rows:
                self.usual.add(player, norm)
            elif rows >= 2 and steps >= self.steps:
                found = Finding(
                    f"{player}'s gradient explodes: its norm is {norm:.2g}, it was {usual:.2g}, for {steps} steps",
                    f"{with_rate(config, player, 0.25)} or {tamer_game(config)}",
                    since,
                )
        return found
