"""Weights that do not change, or change far too fast."""

from __future__ import annotations

from ganrun.common.bounds import Natural, Weight
from ganrun.common.plurals import plural
from ganrun.training.watch.advice import rate, with_rate
from ganrun.training.watch.symptom import Config, Finding, Row, Streak, Symptom, players

HEALTHY = 0.0005  # relative growth of the norm of a network's weights in one step of a good run


class StandsStill(Symptom):
    """The norm of a player's weights has not changed for `steps` steps, although the player was trained.

    Rows have no weight norm of a player whose learning rate the schedule has lowered to almost 0.
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
                    f"{player} does not learn: the norm of its weights has been {norm:.6g} for {steps} "
                    f"{plural('step', steps)}, while the norm of its gradient is {gradient:.2g} and its learning rate "
                    f"is {now:.2g}",
                    f"optimizer.players.{player}.lr={max(rate(config, player), 2e-4):.2g}",
                    since,
                )
        return found


class RateTooHigh(Symptom):
    """Between two logs, the norm of a player's weights grows by more than the fraction `growth` per step."""

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
                    f"{player}'s learning rate is far too high: the norm of its weights grew from {before:.3g} to "
                    f"{norm:.3g} in {step - since} {plural('step', step - since)} at a learning rate of "
                    f"{row.get(f'{player}/lr', rate(config, player)):.2g}",
                    with_rate(config, player, factor),
                    since,
                )
        return found
