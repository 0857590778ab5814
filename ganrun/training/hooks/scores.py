"""Computes FID and other scores during training, of pictures that are drawn with the averaged weights."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
from torch import Tensor

from ganrun.common import images
from ganrun.common.atomic import write_text
from ganrun.common.bounds import At, Count, Natural, Positive
from ganrun.common.errors import UserError, nearest
from ganrun.common.limits import SIDE
from ganrun.common.precision import ieee_float32
from ganrun.evaluation import reals as reals_
from ganrun.evaluation.features.extractor import Features
from ganrun.evaluation.fidelity import NAMES, fidelity_of
from ganrun.evaluation.paired_scores import PairedScorer, has_pairs, require_pairs
from ganrun.evaluation.results import Result, read, write
from ganrun.evaluation.scorer import Scorer
from ganrun.evaluation.scores import SCORES, WITH_TARGETS
from ganrun.systems import drawing
from ganrun.systems.translation import PictureToPicture
from ganrun.training.hooks.best import AUTO, kind
from ganrun.training.hooks.hook import Hook, Stage
from ganrun.training.rendering import averaged_weights

if TYPE_CHECKING:
    from ganrun.data.dataset import Dataset
    from ganrun.systems.system import System
    from ganrun.training.record import StepRecord
    from ganrun.training.trainer import Trainer

log = logging.getLogger("ganrun")

KEY = "hooks.scores."
KID = {"subsets": 100, "size": 1000}
TSTR = {"steps": 1000, "batch_size": 64, "lr": 1e-3}


class Scores(Hook):
    """Scores `n` samples every `every` thousand images and at the end, as `ganrun eval` does. The noise stays the same.

    The scores are added to the record of the step; their names contain network and count: fid_mnistcnn@2k. scores.json
    has each score with its protocol. The scores equal those of `ganrun eval ckpt=RUN n=N seed=SEED`. If a score cannot
    be computed, a line says why, and the run continues.

    An image-to-image system is scored on `n` held-out pairs by PSNR, SSIM, L1 and LPIPS instead, beside its
    inputs; results.csv has a row for each picture of the latest scoring. `border` and `lpips` are as in conf/eval.yaml.
    """

    stage = Stage.MEASURE
    scorer: Scorer | None = None
    paired: PairedScorer | None = None  # of a system whose pictures have an answer
    given_up = False

    def __init__(
        self,
        folder: Path,
        config: dict[str, Any],
        features: Features,
        every: Positive = 20.0,
        n: Count = 2000,
        scores: Sequence[str] | None = None,
        split: str | None = None,
        seed: Natural = 0,
        batch_size: Count = 64,
        cache: str | None = None,
        border: Annotated[Annotated[int, At(0, SIDE)] | Literal["auto"], "a number of pixels, or auto"] = "auto",
        lpips: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(folder, config)
        self.said: set[str] = set()
        if every <= 0 or n < 1 or batch_size < 1:
            raise ValueError(f"hooks.scores: every={every} kimg, n={n} and batch_size={batch_size} must be above 0")
        self.every, self.n, self.batch_size, self.path = every, n, batch_size, self.folder / "scores.json"
        own = str(config["dataset"]["_target_"]).split(".")[0]  # this run has already built the data set's class
        self.asked: dict[str, Any] = {
            "features": features, "scores": list(scores) if scores else None, "split": split, "seed": seed,
            "cache": cache, "n_real": None, "splits": 10, "kid": KID, "tstr": TSTR, "root": None, "trust": [own],
            "n": n, "border": border, "lpips": lpips,
        }  # fmt: skip

    def refuse(self, system: System, data: Dataset) -> None:
        names = self.asked["scores"] or []
        if isinstance(system, PictureToPicture):
            if names or (self.asked["lpips"] or {}).get("weights"):
                require_pairs(data, names or ["lpips"], KEY)
            if has_pairs(data):
                fidelity_of(self.asked, data, key=KEY)
            return
        for name in names:
            if name not in (*SCORES, "all"):
                why = f"needs {WITH_TARGETS}" if name in NAMES else f"is unknown; {nearest(name, [*SCORES, 'all'])}"
                raise UserError(f"{KEY}scores={name} {why}")

    def on_start(self, trainer: Trainer) -> None:
        if self.scorer is None and self.paired is None and not self.given_up:
            with self.tolerated(), randomness_kept(trainer.device), ieee_float32(trainer.device):
                self.prepare_scorer(trainer)
        self.results: list[Result] = []
        with self.tolerated():  # the file may be damaged
            before = read(str(self.path)) if self.path.exists() else []
            self.results = [result for result in before if result.about["step"] <= trainer.step]
            for result in self.results:
                del result.about["from"]  # the name of the file, which `read` adds

    def prepare_scorer(self, trainer: Trainer) -> None:
        """Load the real pictures, and compute their features and the scores that real pictures get. Called once."""
        reals, train, origin = reals_.data_of(self.asked, {"config": self.config})
        origin |= {"weights": "ema", "batchnorm": "running statistics"}
        if isinstance(trainer.system, PictureToPicture):
            self.paired = PairedScorer(self.asked, reals, origin, trainer.device, KEY)
            self.tell(self.paired.notes)
            return
        self.scorer = Scorer(self.asked, reals, train, trainer.device, origin)
        labels = reals_.labels_like(trainer.system, self.scorer.reals, self.folder)
        self.inputs = drawing.draw(trainer.system, self.n, self.asked["seed"], labels)
        self.floors = self.scorer.floor(self.n)
        if self.floors:
            log.info(f"scores     real pictures get {line(self.result(0, 0, self.floors))}")
            log.info(f"           {self.scorer.floor_is(self.n)}")

    def on_step(self, trainer: Trainer, record: StepRecord) -> None:
        each, batch = 1000 * self.every, trainer.stream.batch_size
        due = trainer.done or trainer.step * batch // each > (trainer.step - 1) * batch // each
        # scoring takes time, and a run that was asked to stop must end soon
        if due and not self.given_up and trainer.control.stopped is None:
            with self.tolerated(), randomness_kept(trainer.device), ieee_float32(trainer.device):
                self.score(trainer, record)

    def score(self, trainer: Trainer, record: StepRecord) -> None:
        with averaged_weights(trainer):
            result = self.of_samples(trainer) if self.paired is None else self.of_pairs(self.paired, trainer)
        self.warn_of_best(result)
        record.scores.update(named(result))
        self.results.append(result)
        write(self.results, self.path)
        log.info(f"scores     step {trainer.step}  {line(result)}")

    def warn_of_best(self, result: Result) -> None:
        """Say once that the score that checkpoint.best names is none of this run's."""
        best = (self.config.get("checkpoint") or {}).get("best")
        if best not in (None, AUTO, *map(kind, named(result))):
            self.tell([f"no best.pt: checkpoint.best={best}, but the scores are {', '.join(result.values)}"])

    def of_samples(self, trainer: Trainer) -> Result:
        assert self.scorer is not None
        found = self.scorer.score(self.draw_samples(trainer), self.inputs.get("label"))
        self.tell(self.scorer.notes)
        return self.result(trainer.step, trainer.images, found)

    def of_pairs(self, scorer: PairedScorer, trainer: Trainer) -> Result:
        assert isinstance(trainer.system, PictureToPicture)
        result, each = scorer.score(trainer.system, self.about(trainer.step, trainer.images))
        write_text(self.folder / "results.csv", each, self.folder)
        return result

    def about(self, step: int, seen: int) -> dict[str, Any]:
        return {"checkpoint": str(self.folder), "step": step, "images": seen}

    def tell(self, notes: list[str]) -> None:
        """Log each note once. A note says which score these pictures cannot have, and why."""
        for note in notes:
            if note not in self.said:
                log.warning("scores     %s", note)
        self.said |= set(notes)
        notes.clear()

    @contextmanager
    def tolerated(self) -> Iterator[None]:
        """Within this block, an error does not end the run: one line says why there are no more scores."""
        try:
            yield
        except (UserError, ValueError, KeyError, OSError, RuntimeError, FloatingPointError) as error:
            self.given_up = True
            reason = (str(error) or type(error).__name__).splitlines()[0]
            log.warning("scores     not available: %s; the run continues without them", reason)

    def draw_samples(self, trainer: Trainer) -> Iterator[Tensor]:
        """Batches of the `n` samples, (N, C, H, W) uint8."""
        for start in range(0, self.n, self.batch_size):
            part = {name: tensor[start : start + self.batch_size] for name, tensor in self.inputs.items()}
            inputs = {name: tensor.to(trainer.device) for name, tensor in part.items()}
            yield images.stored(trainer.system.render(inputs))

    def result(self, step: int, seen: int, found: dict[str, float]) -> Result:
        assert self.scorer is not None
        scorer, count = self.scorer, self.n
        return Result(
            self.about(step, seen),
            found,
            self.floors,
            scorer.floor_is(count),
            scorer.protocol(count),
            scorer.settings(count),
        )


def named(result: Result) -> dict[str, float]:
    """{"fid": 3.1} -> {"fid_mnistcnn@2k": 3.1}: the values with full names, which contain network and count."""
    return {result.name(score): value for score, value in result.values.items()}


def line(result: Result) -> str:
    """fid_mnistcnn@2k 3.1  coverage 0.92: only the first name is full. Shares of classes are left out.

    psnr@2k 27.31 (+7.09): the gain over the inputs stands in brackets.
    """
    shown = [(score, value) for score, value in result.values.items() if not score.startswith("share.")]
    names = [result.name(score) if number == 0 else score for number, (score, _) in enumerate(shown)]
    return "  ".join(
        f"{name} {value:.4g}" + (f" ({result.gains[score].mean:+.3g})" if score in result.gains else "")
        for name, (score, value) in zip(names, shown, strict=True)
    )


@contextmanager
def randomness_kept(device: torch.device) -> Iterator[None]:
    """Restore the random state of training after the block."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        yield
