"""Watchdog: warns when a run goes wrong, with numbers and what to try; can stop the run or roll it back."""

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
from ganrun.training.hooks.hook import Hook, Stage
from ganrun.training.metrics_rows import rows_of
from ganrun.training.rendering import examples, load_batch, render, verdicts
from ganrun.training.watch.measures import preference, sight, spread
from ganrun.training.watch.symptom import Finding, Row, Symptom

if TYPE_CHECKING:
    from ganrun.training.record import StepRecord
    from ganrun.training.trainer import Trainer

log = logging.getLogger("ganrun")

ACTIONS = ("warn", "stop", "rollback")
REST = 0.01  # of the first learning rate: below it a player is not expected to move
CALM = 10  # rows without a symptom, after which it is reported again
SEEN = 512  # reals whose labels are compared


class Watchdog(Hook):
    """Gives each logged row to its `symptoms`, and warns of what they find, once for as long as it lasts.

    It adds numbers of its own to the row (weight norms, learning rates, the diversity of samples, `alarm/...`), which
    metrics.jsonl and TensorBoard then have too. At every `looks`-th log it draws `count` samples of fixed noise.
    `action` is warn; stop, which ends the run with a checkpoint and exit code 1; or rollback, to a checkpoint from
    before the symptom, at half the learning rates.
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
        self.samples = Samples.of(trainer, self.count)
        fresh = {k: v for k, v in self.given.items() if self.samples is not None or not v.of_samples_from_noise}
        self.symptoms = copy.deepcopy(fresh)  # a run that went back begins again
        roles = {player: trainer.system.role(player) for player in trainer.system.players()}
        for symptom in self.symptoms.values():
            symptom.begin(roles)
        self.lasting: dict[str, int] = {}  # reported symptoms: rows without them since then
        path = self.folder / "metrics.jsonl"
        for row in rows_of(path, trainer.step):
            try:
                findings = [finding for _, finding in self.news(row)]
            except (KeyError, ValueError, ArithmeticError) as error:
                raise UserError(f"{path}: its row of step {row['step']} is none of a run: {error!r:.80}") from error
            for finding in findings:
                trainer.control.alarm(told(int(row["step"]), finding))

    def on_step(self, trainer: Trainer, record: StepRecord) -> None:
        if record.means is None and not record.scores:
            return
        if record.means is not None:
            record.means |= self.numbers(trainer)
        scores = {f"score/{name}": value for name, value in record.scores.items()}
        for name, finding in self.news({"step": record.step, **(record.means or {}), **scores}):
            record.means = {**(record.means or {}), f"alarm/{name}": 1.0}  # written down also where no log is due
            self.act(trainer, finding)

    def on_failure(self, trainer: Trainer) -> None:
        error = sys.exception()
        if isinstance(error, FloatingPointError) and not hasattr(error, "since"):
            line = f"watchdog  step {trainer.step}: no finite number: {error}"
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
        """Give a row to every symptom. Yields findings that were not there in the last rows."""
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
        """Numbers that symptoms need besides the logged ones. Waits for the device."""
        numbers = {f"{name}/lr": float(one.param_groups[0]["lr"]) for name, one in trainer.optimizers.items()}
        norms = {
            f"{name}/weight_norm": nn.utils.get_total_norm([p for group in one.param_groups for p in group["params"]])
            for name, one in trainer.optimizers.items()
            if trainer.rates.schedules[name].factor(trainer.schedule_progress) > REST
        }
        if norms:
            numbers |= zip(norms, torch.stack([norm.detach() for norm in norms.values()]).tolist(), strict=True)
        if self.samples is not None and trainer.step % (trainer.settings.log_every * self.looks) == 0:
            numbers |= self.samples.look(trainer)
        return {name: value for name, value in numbers.items() if math.isfinite(value)}


class Samples:
    """Pictures of fixed noise, and the real pictures that they are compared with."""

    def __init__(self, trainer: Trainer, examples: dict[str, torch.Tensor]) -> None:
        self.examples, self.labels = examples, examples.get("label")
        reals = load_batch(trainer, 0)
        self.reals = {name: tensor[:64] for name, tensor in reals.items()}
        self.distance = spread(reals["image"][:256])
        if self.labels is not None:
            self.in_class = spread(reals["image"][:256], reals["label"][:256])
            self.sight = self.labels_seen(trainer)

    @classmethod
    def of(cls, trainer: Trainer, count: int) -> Samples | None:
        """None where the system needs pictures as inputs."""
        found = examples(trainer, min(count, max(8, trainer.stream.batch_size)))
        return cls(trainer, found) if found.keys() <= {"latent", "label"} else None

    def labels_seen(self, trainer: Trainer) -> dict[str, float]:
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
        """By how much the discriminator prefers real pictures with their own label to the same with a wrong label."""
        labels = self.reals["label"]
        other = labels.roll(1)
        differ = other != labels
        if differ.sum() < 8:
            return {}
        batch = {"image": self.reals["image"][differ], "label": labels[differ]}
        right = verdicts(trainer, batch["image"], batch)
        wrong = verdicts(trainer, batch["image"], {**batch, "label": other[differ]})
        if right is None or wrong is None or torch.equal(right, wrong):  # it does not use the label
            return {}
        return {"samples/label_gap": preference(right, wrong)}


def told(step: int, finding: Finding) -> str:
    return f"watchdog  step {step}: {finding.saw}; try {finding.advice}"
