"""Samples that are all alike (mode collapse), and labels that have nothing to do with the pictures."""

from __future__ import annotations

from collections import deque

from ganrun.common.bounds import Natural, Weight
from ganrun.common.plurals import plural
from ganrun.training.watch.advice import tamer_game
from ganrun.training.watch.symptom import Config, Finding, Row, Streak, Symptom, players

KINDS = {"diversity": "samples", "diversity_in_class": "samples of one class"}


class ModeCollapse(Symptom):
    """For `steps` steps, samples are too similar to each other.

    Their mean distance is below `fall` times its largest value so far, and below half of that of real pictures. Steps
    before `wait` do not count, because healthy runs begin with similar pictures. From step `late` on, it is also too
    small if it is below `least` times that of real pictures.
    """

    of_samples_from_noise = True
    reads = "samples/"

    def __init__(
        self, least: Weight = 0.25, fall: Weight = 0.4, steps: Natural = 200, wait: Natural = 1000, late: Natural = 5000
    ) -> None:
        self.least, self.fall, self.steps, self.wait, self.late = least, fall, steps, wait, late
        self.streak, self.best = Streak(), dict.fromkeys(KINDS, 0.0)

    def look(self, row: Row, config: Config) -> Finding | None:
        found = None
        for name, what in KINDS.items():
            if (value := row.get(f"samples/{name}")) is None:
                continue
            if row["step"] < self.wait:
                continue
            self.best[name] = max(self.best[name], value)
            alike = value < min(0.5, self.fall * self.best[name]) or (value < self.least and row["step"] >= self.late)
            rows, steps, since = self.streak.so(name, row["step"], alike)
            if rows >= 2 and steps >= self.steps:
                found = found or Finding(
                    f"mode collapse: the mean distance of {what} is {value:.2f} times that of real pictures "
                    f"(at best {self.best[name]:.2f}), for {steps} {plural('step', steps)}",
                    f"{tamer_game(config)} or {against_collapse(config)}",
                    since,
                )
        return found


class LabelsTellNothing(Symptom):
    """The labels have nothing to do with the pictures. Two signs must come together.

    In the pixels: the nearest neighbour of a real picture has the same label hardly more often than by chance.
    `samples/label_sight`, the difference in standard errors, is below `sight`. In training, for `steps` steps: the
    discriminator's logit for right labels is less than `gap` standard deviations above that for wrong labels. Or, where
    the discriminator classifies real pictures: its accuracy is hardly better than that of always naming the largest
    class, by less than `lift` times the share of the other classes.
    """

    reads = "samples/"

    def __init__(self, sight: Weight = 4.0, gap: Weight = 0.1, lift: Weight = 0.05, steps: Natural = 300) -> None:
        self.sight, self.gap, self.lift, self.steps = sight, gap, lift, steps
        self.gaps: deque[float] = deque(maxlen=4)
        self.streak, self.unseen, self.largest = Streak(), 0.0, 1.0

    def look(self, row: Row, config: Config) -> Finding | None:
        if "samples/label_sight" in row:
            self.unseen, self.largest = row["samples/label_sight"], row["samples/largest_class"]
        blind = self.blindness(row)
        if blind is None:
            return None
        rows, steps, since = self.streak.so("labels", row["step"], bool(blind) and self.unseen < self.sight)
        if rows < 3 or steps < self.steps:
            return None
        return Finding(
            f"labels do not describe the pictures: {blind} over {steps} {plural('step', steps)}, and similar real "
            f"pictures have the same label no more often than by chance ({self.unseen:.1f} standard errors)",
            "dataset.labels= with the right file, or model=dcgan, which needs no labels; ganrun doctor checks the data",
            since,
        )

    def blindness(self, row: Row) -> str | None:
        """A clause that says that the discriminator ignores the labels; "" if it uses them, None if unknown."""
        for player, accuracy in players(row, "class_accuracy"):
            if self.discriminates(player):
                chance = self.largest + self.lift * (1 - self.largest)
                return f"{player} classifies {accuracy:.1%} of real pictures correctly" if accuracy < chance else ""
        if (gap := row.get("samples/label_gap")) is None:
            return None
        self.gaps.append(gap)
        mean = sum(self.gaps) / len(self.gaps)
        return (
            f"the discriminator prefers right labels by only {mean:.2f} standard deviations" if mean < self.gap else ""
        )


def against_collapse(config: Config) -> str:
    """An override that lets the discriminator compare the images of a batch, else a model that resists collapse."""
    discriminator = config.get("model", {}).get("discriminator") or {}
    inner = "network." if "network" in discriminator else ""
    known = discriminator.get("network", discriminator)
    if "minibatch" in known and known["minibatch"] == "none":
        return f"model.discriminator.{inner}minibatch=stddev"
    return "model=gman"
