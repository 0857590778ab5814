"""Scores that get worse after their best value, and classes that disappear."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ganrun.common.bounds import Count, Weight
from ganrun.training.watch.symptom import Config, Finding, Row, Streak, Symptom

LOWER, HIGHER = "lower", "higher"


class ScoreRebounds(Symptom):
    """A score is `factor` times worse than its best, for `times` scores in a row.

    `watched` maps the beginning of a score's name to "lower" or "higher", whichever is better. Other scores are not
    watched.
    """

    reads = "score/"

    def __init__(
        self,
        factor: Weight = 1.5,
        times: Count = 3,
        watched: Mapping[str, str] | None = None,
    ) -> None:
        self.factor, self.times = factor, times
        self.watched = dict(watched or {"fid": LOWER, "tstr": HIGHER, "coverage": HIGHER})
        self.best: dict[str, tuple[int, float]] = {}
        self.streak = Streak()

    def look(self, row: Row, config: Config) -> Finding | None:
        found = None
        for key, value in row.items():
            better = next((way for name, way in self.watched.items() if key.startswith(f"score/{name}")), None)
            if better is None:
                continue
            step, best = self.best.setdefault(key, (int(row["step"]), value))
            if value < best if better == LOWER else value > best:
                self.best[key] = step, best = int(row["step"]), value
            worse = value > self.factor * best if better == LOWER else value < best / self.factor
            rows, _, since = self.streak.so(key, row["step"], worse)
            if rows >= self.times:
                found = found or Finding(
                    f"{key.removeprefix('score/')} gets worse again: it is {value:.3g}, at its best it was {best:.3g}, "
                    f"at step {step}",
                    f"steps={step}, or schedule=linear, which lowers the learning rate to 0",
                    since,
                )
        return found


class ClassGone(Symptom):
    """Samples of one class become rare: below `least` times an equal share, `times` scores in a row.

    Only a class that had at least that share before is reported.
    """

    reads = "score/"

    def __init__(self, least: Weight = 0.2, times: Count = 2, prefixes: Sequence[str] = ("share.",)) -> None:
        self.least, self.times, self.prefixes = least, times, tuple(f"score/{prefix}" for prefix in prefixes)
        self.streak = Streak()
        self.there: set[str] = set()

    def look(self, row: Row, config: Config) -> Finding | None:
        shares = {key: value for key, value in row.items() if key.startswith(self.prefixes)}
        found, equal = None, 1 / max(len(shares), 1)
        for key, share in shares.items():
            if share >= self.least * equal:
                self.there.add(key)
            gone = key in self.there and share < self.least * equal
            rows, _, since = self.streak.so(key, row["step"], gone)
            if rows >= self.times:
                found = found or Finding(
                    f"a class disappears: {key.removeprefix('score/')} is {share:.2%}, an equal share is {equal:.2%}",
                    "model=cgan, which draws the class that you ask for, or a smaller optimizer.lr",
                    since,
                )
        return found
