"""The two players are out of balance: the discriminator has won, or the losses oscillate."""

from __future__ import annotations

from collections import defaultdict, deque
from itertools import pairwise

from ganrun.common.bounds import Count, Natural, Share, Weight
from ganrun.training.watch.advice import tamer_game, with_rate
from ganrun.training.watch.symptom import Config, Finding, Row, Streak, Symptom, players


class DiscriminatorWins(Symptom):
    """The discriminator's accuracy is at least `accuracy` and its adversarial loss at most `loss`, for `steps` steps.

    It is not reported before step `wait`, because most healthy runs begin like this. A negative loss, as WGAN's, never
    counts.
    """

    of_samples_from_noise = True  # with target pictures, the generator also learns from them

    def __init__(
        self, accuracy: Share = 0.99, loss: Weight = 0.005, steps: Natural = 400, wait: Natural = 1000
    ) -> None:
        self.accuracy, self.loss, self.steps, self.wait = accuracy, loss, steps, wait
        self.streak = Streak()

    def look(self, row: Row, config: Config) -> Finding | None:
        for player, accuracy in players(row, "accuracy"):
            if not self.discriminates(player):
                continue
            terms = [value for key, value in row.items() if key.startswith(f"{player}/adversarial")]
            lost = accuracy >= self.accuracy and all(0 <= term <= self.loss for term in terms)
            rows, steps, since = self.streak.so(player, row["step"], lost)
            if rows >= 3 and steps >= self.steps and row["step"] >= self.wait:
                return Finding(
                    f"{player} wins: accuracy {accuracy:.3f} and loss {max(terms, default=0):.3g} "
                    f"over the last {steps} steps",
                    f"{with_rate(config, player, 0.25)} or {tamer_game(config)}",
                    since,
                )
        return None


class Oscillation(Symptom):
    """A loss oscillates around its mean, over the last `rows` logs.

    Its mean distance from its mean is more than `swing` times the mean, and it crosses the mean at least `turns` times.
    Losses that are ever negative are left out, because their mean is no scale for distances.
    """

    def __init__(self, swing: Weight = 0.5, turns: Natural = 6, rows: Count = 20) -> None:
        self.swing, self.turns, self.rows = swing, turns, rows
        self.seen: defaultdict[str, deque[tuple[int, float]]] = defaultdict(lambda: deque(maxlen=rows))

    def look(self, row: Row, config: Config) -> Finding | None:
        found = None
        for key, value in row.items():
            player, _, name = key.partition("/")
            if name.split("_")[0] != "adversarial":
                continue
            self.seen[key].append((int(row["step"]), value))
            values = [value for _, value in self.seen[key]]
            mean = sum(values) / len(values)
            if len(values) < self.rows or min(values) < 0 or not mean:
                continue
            swing = sum(abs(value - mean) for value in values) / len(values) / mean
            turns = changes_of_side([value - mean for value in values], self.swing * mean / 2)
            if swing > self.swing and turns >= self.turns:
                since = self.seen[key][0][0]
                found = found or Finding(
                    f"losses oscillate: {key} is on average {swing:.0%} away from its mean of {mean:.3g} and crossed "
                    f"it {turns} times in the last {int(row['step']) - since} steps",
                    f"{with_rate(config, player, 0.5)}; average.half_life=50 draws samples from steadier weights",
                    since,
                )
        return found


def changes_of_side(deviations: list[float], least: float) -> int:
    """How often a series goes from above +least to below -least, or back."""
    sides = [deviation > 0 for deviation in deviations if abs(deviation) > least]
    return sum(one != other for one, other in pairwise(sides))
