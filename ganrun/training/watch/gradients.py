"""Gradients that vanish or explode, compared with the usual gradients of the same run."""

from __future__ import annotations

import math

from ganrun.common.bounds import Natural, Weight
from ganrun.common.plurals import plural
from ganrun.training.watch.advice import tamer_game, with_rate
from ganrun.training.watch.symptom import Config, Finding, Row, Streak, Symptom, players

FEW = 5  # measurements until a norm counts as usual


class Usual:
    """The usual gradient norm of each player: a moving geometric mean; a new norm has the weight 1/10.

    Callers do not add norms that look wrong.
    """

    def __init__(self) -> None:
        self.logs: dict[str, float] = {}
        self.counts: dict[str, int] = {}

    def of(self, player: str) -> float | None:
        """None while there are fewer than FEW norms."""
        return math.exp(self.logs[player]) if self.counts.get(player, 0) >= FEW else None

    def add(self, player: str, norm: float) -> None:
        if norm <= 0:  # a hinge loss may have a gradient of zero, which is no scale for later norms
            return
        count = self.counts[player] = self.counts.get(player, 0) + 1
        before = self.logs.get(player, 0.0)
        self.logs[player] = before + (math.log(norm) - before) / min(count, 10)


class GradientVanishes(Symptom):
    """For `steps` steps, the gradient norm of a player is far too small.

    It is below `fraction` times its usual value, or below `weights` times the norm of the player's weights.
    Discriminators are left out: their gradient vanishes when they win, and `DiscriminatorWins` reports that.
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
                was = f", before it was {usual:.2g}" if usual else ""
                found = Finding(
                    f"{player}'s gradient vanishes: its norm is {norm:.2g}{was}, for {steps} {plural('step', steps)}",
                    self.remedy(row, config, player),
                    since,
                )
        return found

    def remedy(self, row: Row, config: Config, player: str) -> str:
        """A lower learning rate for the discriminator, which is too confident; without one, for the player itself."""
        judge = next((name for name, _ in players(row, "gradient_norm") if self.discriminates(name)), player)
        if judge == player:
            return with_rate(config, player, 0.25)
        return f"{with_rate(config, judge, 0.25)} or {tamer_game(config)}"


class GradientExplodes(Symptom):
    """For `steps` steps, a player's gradient norm is above `factor` times its usual value and above its weight norm."""

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
                    f"{player}'s gradient explodes: its norm is {norm:.2g}, before it was {usual:.2g}, "
                    f"for {steps} {plural('step', steps)}",
                    f"{with_rate(config, player, 0.25)} or {tamer_game(config)}",
                    since,
                )
        return found
