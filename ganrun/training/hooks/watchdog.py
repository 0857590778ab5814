"""Warns when a run goes wrong, with numbers and an override to try; can stop the run or roll it back."""

from __future__ import annotations

import copy
import logging
import math
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ganrun.common.bounds import Count, Pictures
from ganrun.common.errors import UserError
from ganrun.systems.translation import PictureToPicture
from ganrun.training.hooks.hook import Hook, Stage
from ganrun.training.metrics_rows import rows_of
from ganrun.training.rendering import compared, examples, load_batch, many_examples, render, verdicts
from ganrun.training.watch.measures import colour_shift, preference, sight, spread
from ganrun.training.watch.symptom import Finding, Row, Symptom

if TYPE_CHECKING:
    from ganrun.training.record import StepRecord
    from ganrun.training.trainer import Trainer

log = logging.getLogger("ganrun")

ACTIONS = ("warn", "stop", "rollback")
REST = 0.01  # fraction of the first learning rate; below it, weights need not change
CALM = 10  # after so many rows without a symptom, it may be reported again
SEEN = 512  # real pictures whose labels are compared


class Watchdog(Hook):
    """Gives each logged row to its `symptoms` and warns of their findings. A symptom that lasts is reported once.

    The watchdog adds further numbers to the row, also for metrics.jsonl and TensorBoard: weight norms, learning rates,
    the diversity of samples and `alarm/...`. At every `looks`-th log it draws `count` samples of fixed noise; where
    pictures are the inputs, it translates `count` fixed pictures and measures the colours (`colour/...`). `action` is
    warn, stop or rollback. stop ends the run with a checkpoint and exit code 1. rollback loads a checkpoint from
    before the symptom and halves the learning rates.
    """

    stage = Stage.JUDGE
    reads = ("watchdog",)

    def __init__(
        self,
        folder: Path,
        config: dict[str, Any],
        symptoms: Mapping[str, Symptom],
        action: str = "warn",
        looks: Count = 2,
        count: Pictures = 32,
    ) -> None:
        super().__init__(folder, config)
        if action not in ACTIONS:
            raise ValueError(f"action={action} is unknown: {', '.join(ACTIONS)}")
        self.given, self.action, self.looks, self.count = dict(symptoms), action, looks, count

    def on_start(self, trainer: Trainer) -> None:
        self.samples, self.colours = Samples.of(trainer, self.count), Colours.of(trainer, self.count)
        fresh = {k: v for k, v in self.given.items() if self.samples is not None or not v.of_samples_from_noise}
        # new copies, because after a rollback the symptoms must forget the rows that were undone
        self.symptoms = copy.deepcopy(fresh)
        roles = {player: trainer.system.role(player) for player in trainer.system.players()}
        for symptom in self.symptoms.values():
            symptom.begin(roles)
        self.lasting: dict[str, int] = {}  # reported symptom -> rows since it was last found
        path = self.folder / "metrics.jsonl"
        for row in rows_of(path, trainer.step):
            try:
                findings = [finding for _, finding in self.news(row)]
            except (KeyError, ValueError, ArithmeticError) as error:
                raise UserError(
                    f"{path}: the row of step {row['step']} was not written by a run: {error!r:.80}"
                ) from error
            for finding in findings:
                trainer.control.alarm(told(int(row["step"]), finding))

    def on_step(self, trainer: Trainer, record: StepRecord) -> None:
        if record.means is None and not record.scores:
            return
        if record.means is not None:
            record.means |= self.numbers(trainer)
        scores = {f"score/{name}": value for name, value in record.scores.items()}
        for name, finding in self.news({"step": record.step, **(record.means or {}), **scores}):
            record.means = {**(record.means or {}), f"alarm/{name}": 1.0}  # it is written even if no log is due
            self.act(trainer, finding)

    def on_failure(self, trainer: Trainer) -> None:
        error = sys.exception()
        if isinstance(error, FloatingPointError) and not hasattr(error, "since"):
            line = f"watchdog  step {trainer.step}: a number is not finite: {error}"
            trainer.control.alarm(line)
            log.warning(line)

    def act(self, trainer: Trainer, finding: Finding) -> None:
        line = told(trainer.step, finding)
        trainer.control.alarm(line)
        log.warning(line)
        if self.action == "stop":
            trainer.control.stop(line)
        elif self.action == "rollback":
            trainer.control.go_back(line, finding.since)

    def news(self, row: Row) -> Iterator[tuple[str, Finding]]:
        """Give a row to every symptom. Yields (name of the symptom, finding) for new findings only."""
        for name, symptom in self.symptoms.items():
            finding = symptom.look(row, self.config)
            if finding is not None:
                if name not in self.lasting:
                    yield name, finding
                self.lasting[name] = 0
            elif name in self.lasting and any(symptom.reads in key for key in row):
                self.lasting[name] += 1
                if self.lasting[name] >= CALM:
                    del self.lasting[name]

    def numbers(self, trainer: Trainer) -> dict[str, float]:
        """The numbers that the watchdog adds to a row. Waits for the device."""
        numbers = {f"{name}/lr": float(one.param_groups[0]["lr"]) for name, one in trainer.optimizers.items()}
        norms = {
            f"{name}/weight_norm": nn.utils.get_total_norm([p for group in one.param_groups for p in group["params"]])
            for name, one in trainer.optimizers.items()
            if trainer.rates.schedules[name].factor(trainer.schedule_progress) > REST
        }
        if norms:
            numbers |= zip(norms, torch.stack([norm.detach() for norm in norms.values()]).tolist(), strict=True)
        for part in (self.samples, self.colours):
            if part is not None and trainer.step % (trainer.settings.log_every * self.looks) == 0:
                numbers |= part.look(trainer)
        return {name: value for name, value in numbers.items() if math.isfinite(value)}


class Samples:
    """Draws samples of fixed noise, and compares them with real pictures."""

    def __init__(self, trainer: Trainer, examples: dict[str, torch.Tensor]) -> None:
        self.examples, self.labels = examples, examples.get("label")
        reals = load_batch(trainer, 0)
        self.reals = {name: tensor[:64] for name, tensor in reals.items()}
        self.distance = spread(reals["image"][:256])
        if self.labels is not None:
            self.in_class = spread(reals["image"][:256], reals["label"][:256])
            self.sight = self.compare_labels(trainer)

    @classmethod
    def of(cls, trainer: Trainer, count: int) -> Samples | None:
        """None if the system needs pictures as inputs."""
        found = examples(trainer, min(count, max(8, trainer.stream.batch_size)))
        return cls(trainer, found) if found.keys() <= {"latent", "label"} else None

    def compare_labels(self, trainer: Trainer) -> dict[str, float]:
        """Numbers that say whether similar real pictures have the same label; see `LabelsTellNothing`."""
        size = trainer.stream.batch_size
        batches = [load_batch(trainer, i) for i in range(max(1, min(SEEN, len(trainer.stream.data)) // size))]
        images, labels = (torch.cat([batch[name] for batch in batches]) for name in ("image", "label"))
        largest = labels.bincount().max().item() / len(labels)
        return {"samples/label_sight": sight(images, labels).errors, "samples/largest_class": largest}

    def look(self, trainer: Trainer) -> dict[str, float]:
        images = render(trainer, self.examples)
        numbers = {"samples/diversity": (spread(images) / self.distance).item()}
        if self.labels is None:
            return numbers
        numbers["samples/diversity_in_class"] = (spread(images, self.labels) / self.in_class).item()
        return numbers | self.sight | self.label_gap(trainer)

    def label_gap(self, trainer: Trainer) -> dict[str, float]:
        """How much higher the logits of real pictures are with their own labels than with wrong labels."""
        labels = self.reals["label"]
        other = labels.roll(1)
        differ = other != labels
        if differ.sum() < 8:
            return {}
        batch = {"image": self.reals["image"][differ], "label": labels[differ]}
        right = verdicts(trainer, batch["image"], batch)
        wrong = verdicts(trainer, batch["image"], {**batch, "label": other[differ]})
        if right is None or wrong is None or torch.equal(right, wrong):  # the discriminator does not use labels
            return {}
        return {"samples/label_gap": preference(right, wrong)}


class Colours:
    """Translates fixed pictures, and compares their mean colours with those of their targets."""

    def __init__(self, examples: dict[str, torch.Tensor]) -> None:
        self.examples = examples

    @classmethod
    def of(cls, trainer: Trainer, count: int) -> Colours | None:
        """None if the system draws from noise."""
        return cls(many_examples(trainer, count)) if isinstance(trainer.system, PictureToPicture) else None

    def look(self, trainer: Trainer) -> dict[str, float]:
        """`colour/shift`, of the direction in which it is largest, and `colour/source`, without any translation."""
        found = [
            (colour_shift(made, targets), colour_shift(sources, targets))
            for sources, made, targets in compared(trainer, self.examples)
        ]
        return dict(zip(("colour/shift", "colour/source"), max(found), strict=True)) if found else {}


def told(step: int, finding: Finding) -> str:
    return f"watchdog  step {step}: {finding.saw}; try {finding.advice}"
