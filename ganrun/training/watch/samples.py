"""Samples that are all alike (mode collapse), and labels that have nothing to do with the pictures."""

from __future__ import annotations

from collections import deque

from ganrun.common.bounds import Natural, Weight
from ganrun.training.watch.advice import tamer_game
from ganrun.training.watch.symptom import Config, Finding, Row, Streak, Symptom, players

KINDS = {"diversity": "samples", "diversity_in_class": "samples of one class"}


class ModeCollapse(Symptom):
    """For `steps` steps the mean distance of samples is below `fall` times its best, and below half of the reals'.

    Steps before `wait` do not count: healthy runs begin with pictures that are all alike. From step `late` on, a
    distance that is still below `least` times the reals' counts too.
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
                    f"mode collapse: {what} lie {value:.2f} times as far apart as real pictures "
                    f"(at best {self.best[name]:.2f}), for {steps} steps",
                    f"{tamer_game(config)} or {against_collapse(config)}",
                    since,
                )
        return found


class LabelsTellNothing(Symptom):
    """The labels have nothing to do with the pictures, by two signs together.

    In the pixels: `samples/label_sight`, by how many standard errors the nearest neighbour of a real picture has the
    same label more often than chance, is below `sight`. In training: for `steps` steps the discriminator prefers right
    labels to wrong ones by less than `gap` standard deviations; or it names the classes of reals hardly better than
    always the largest class would, by less than `lift` of the rest.
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
            f"labels tell nothing: {blind} over {steps} steps, and real pictures that look alike have the same label "
            f"no more often than by chance ({self.unseen:.1f} standard errors)",
            "dataset.labels= with the right file, or model=dcgan, which needs none; ganrun doctor looks at the data",
            since,
        )

    def blindness(self, row: Row) -> str | None:
        """In words, that the discriminator does not use the labels; "" where it does, None where no number tells."""
        for player, accuracy in players(row, "class_accuracy"):
            if self.discriminates(player):
                chance = self.largest + self.lift * (1 - self.largest)
                return f"{player} names the class of {accuracy:.1%} of reals" if accuracy < chance else ""
        if (gap := row.get("samples/label_gap")) is None:
            return None
        self.gaps.append(gap)
        mean = sum(self.gaps) / len(self.gaps)
        return f"right labels please the discriminator by {mean:.2f} deviations more" if mean < self.gap else ""


def against_collapse(config: Config) -> str:
    """An override that makes the discriminator compare the images of a batch, or a model that resists collapse."""
    discriminator = config.get("model", {}).get("discriminator") or {}
    inner = "network." if "network" in discriminator else ""
    known = discriminator.get("network", discriminator)
    if "minibatch" in known and known["minibatch"] == "none":
        return f"model.discriminator.{inner}minibatch=stddev"
    return "model=gman"
