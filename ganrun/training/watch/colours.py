"""Colours that drift: translated pictures move away from the mean colour of their targets."""

from __future__ import annotations

from ganrun.common.bounds import Natural, Share, Weight
from ganrun.common.plurals import plural
from ganrun.systems.roles import Role
from ganrun.training.watch.advice import with_rate
from ganrun.training.watch.symptom import Config, Finding, Row, Streak, Symptom

LEVELS = 255  # grey levels, in which people think of colours
CUT_IDENTITY, CYCLE_IDENTITY = 1, 5  # the weights of their papers: λ_Y of CUT, 0.5 · λ = 5 of CycleGAN


class ColourDrifts(Symptom):
    """For `steps` steps, the mean colour of translated pictures is far from that of their targets, and was nearer.

    The distance is at least `least` of the range of a pixel, `factor` times its smallest value so far, and `own` times
    the sources' own distance from the targets, which unlike domains always have. It is not reported before step
    `wait`: many healthy runs begin with grey pictures.
    """

    reads = "colour/"

    def __init__(
        self,
        least: Share = 0.03,
        factor: Weight = 2.0,
        own: Weight = 0.25,
        steps: Natural = 200,
        wait: Natural = 300,
    ) -> None:
        self.least, self.factor, self.own, self.steps, self.wait = least, factor, own, steps, wait
        self.streak, self.best = Streak(), float("inf")

    def look(self, row: Row, config: Config) -> Finding | None:
        if (shift := row.get("colour/shift")) is None:
            return None
        self.best = min(self.best, shift)
        limit = max(self.least, self.factor * self.best, self.own * row.get("colour/source", 0.0))
        rows, steps, since = self.streak.so("shift", row["step"], shift >= limit and row["step"] >= self.wait)
        if rows < 3 or steps < self.steps:
            return None
        return Finding(
            f"colours drift: the mean colour of translated pictures is {LEVELS * shift:.0f} of {LEVELS} levels away "
            f"from that of their targets (at best {LEVELS * self.best:.0f}), for {steps} {plural('step', steps)}",
            against_drift(config, next((name for name, role in self.roles.items() if role is Role.GENERATOR), None)),
            since,
        )


def against_drift(config: Config, generator: str | None) -> str:
    """Overrides that give the distance to the target more weight in the game, and slow the generator down."""
    model = config.get("model", {})
    weaker = (
        [f"model.adversarial_weight={model['adversarial_weight'] / 10:g}"] if model.get("adversarial_weight") else []
    )
    if model.get("identity_weight") == 0:  # of an unpaired game: it preserves colours
        weight = CUT_IDENTITY if "nce_weight" in model else CYCLE_IDENTITY
        weaker = [f"model.identity_weight={weight} (not where one domain is the negative of the other)"]
    slower = [with_rate(config, generator, 0.25)] if generator else []
    return " or ".join([*weaker, *slower]) or "optimizer.lr=5e-05"
