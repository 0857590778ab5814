"""Weights that do not change, or change far too fast."""

from __future__ import annotations

from ganrun.common.bounds import Natural, Weight
from ganrun.training.watch.advice import rate, with_rate
from ganrun.training.watch.symptom import Config, Finding, Row, Streak, Symptom, players

HEALTHY = 0.0005  # the part of its norm by which a network's weights grow in a step of a good run


class StandsStill(Symptom):
    """The norm of a player's weights has not changed for `steps` steps, though it had turns and a learning rate.

    The watchdog measures no weight norm of a player whose schedule has ended near a learning rate of 0.
    """

    def __init__(self, steps: Natural = 150) -> None:
        self.steps, self.streak = steps, Streak()
        self.before: dict[str, float] = {}

    def look(self, row: Row, config: Config) -> Finding | None:
        found = None
        for player, norm in players(row, "weight_norm"):
            still = f"{player}/gradient_norm" in row and abs(norm - self.before.get(player, -1.0)) <= 1e-7 * norm
            self.before[player] = norm
            rows, steps, since = self.streak.so(player, row["step"], still)
            if rows >= 2 and steps >= self.steps:
                gradient, now = row[f"{player}/gradient_norm"], row.get(f"{player}/lr", rate(config, player))
                found = Finding(
                    f"{player} stands still: its weights' norm has been {norm:.6g} for {steps} steps, while its "
                    f"gradient's is {gradient:.2g} and its rate {now:.2g}",
                    f"optimizer.players.{player}.lr={max(rate(config, player), 2e-4):.2g}",
                    since,
                )
        return found


class RateTooHigh(Symptom):
    """Between two logs, the norm of a player's weights grows by more than `growth` of itself a step."""

    def __init__(self, growth: Weight = 0.0025) -> None:
        self.growth = growth
        self.before: dict[str, tuple[int, float]] = {}

    def look(self, row: Row, config: Config) -> Finding | None:
        found, step = None, int(row["step"])
        for player, norm in players(row, "weight_norm"):
            since, before = self.before.get(player, (step, norm))
            self.before[player] = step, norm
            if step == since or not before:
                continue
            growth = (norm / before - 1) / (step - since)
            if growth > self.growth:
                factor = min(0.1, max(0.01, HEALTHY / growth))
                found = found or Finding(
                    f"{player}'s learning rate is far too high: its weights' norm went from {before:.3g} to {norm:.3g} "
                    f"in {step - since} steps at {row.get(f'{player}/lr', rate(config, player)):.2g}",
                    with_rate(config, player, factor),
                    since,
                )
        return found
