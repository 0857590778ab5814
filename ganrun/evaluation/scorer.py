"""scoring: real pictures made ready once, and the scores of any number of fake sets against them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganrun import __version__
from ganrun.checkpoints import checkpoint
from ganrun.common.atomic import make_folder
from ganrun.common.errors import CheckpointError, UserError
from ganrun.common.seeding import Purpose, generator
from ganrun.common.types import Config
from ganrun.config.build import build
from ganrun.data.cache_folder import user_cache
from ganrun.data.dataset import Dataset
from ganrun.evaluation.features.coordinates import Coordinates
from ganrun.evaluation.features.extractor import BATCH, Extractor, Features, Seen, data_fingerprint
from ganrun.evaluation.metrics.manifolds import K_DENSITY, K
from ganrun.evaluation.mode_names import ModeNamer
from ganrun.evaluation.scores import SCORES, Pair, Partly, Sample, Values, too_few, wanted

LARGEST_KEPT = 2**29  # bytes of features that are kept on the disk


class Scorer:
    """Scores of fake pictures against `reals`, which `train`, if given, shares no picture with.

    config: scores, seed, kid, splits, tstr, n_real, cache, and the node `features`, as in conf/eval.yaml. The feature
    network learns from `train`, else from `reals`. It knows nothing of what makes the pictures. Raises UserError.
    """

    def __init__(
        self, config: Config, reals: Dataset, train: Dataset | None, device: torch.device, origin: Config | None = None
    ) -> None:
        self.config, self.train, self.origin = config, train, origin or {}
        self.cache = cache_folder(config.get("cache"))
        features = config["features"]
        features = features if isinstance(features, Features) else build(features, Features, "features")
        learnt = reals if train is None else train
        features = Coordinates() if learnt.image_size == (1, 1) else features
        self.network: Extractor = features.open(learnt, self.cache / "features", device)
        self.namer = None if learnt.modes is None else ModeNamer(learnt.modes, self.cache / "features", device)
        self.reals = picked(reals, config.get("n_real"), config["seed"])
        self.fingerprint = data_fingerprint(self.reals)
        self.real = self.sample(self.reals, self.fingerprint)
        self.notes: list[str] = []
        self._learnt: list[Sample] = []
        self._floors: dict[int, Values] = {}

    def score(
        self,
        images: Iterable[Tensor],
        labels: Tensor | None = None,
        lengths: Callable[[Extractor], Tensor] | None = None,
    ) -> Values:
        """(N, C, H, W) uint8 batches, and (N,) the classes they were asked for -> {score: value}.

        `lengths`: (M,) lengths of paths between latents, seen through a network. Raises UserError for pictures of
        another shape, for too few of them, and for scores that these pictures cannot have.
        """
        pair = self.pair(None, None)
        if labels is not None and self.reals.labels is not None:
            pair.fake.labels = labels
        pair.lengths = (lambda: lengths(self.network)) if lengths and self.network.smooth else None
        names = wanted(self.config["scores"], pair.has())
        kept: list[Tensor] | None = [] if any(SCORES[name].pixels for name in names) else None
        seen = self.network(self.checked(images, kept))
        labels = pair.fake.labels
        pair.fake = Sample(seen, labels, Dataset(torch.cat(kept), labels, pair.class_names) if kept else None)
        return self.compute(names, pair)

    def floor(self, count: int) -> Values:
        """The scores of `count` real pictures that are not those compared with: what even a perfect generator gets.

        Training pictures where there are some; else one half of the reals against the other.
        """
        if count not in self._floors:
            real, fake = self.halves() if self.train is None else (self.real, self.stand_ins(count))
            pair = self.pair(real, fake)
            names = [name for name in self.asked(pair) if SCORES[name].floor]
            key = [names, self.protocol(count), self.settings(count), self.floor_is(count), fake.fingerprint]
            self._floors[count] = read_or_make(self.cache / "floors", key, lambda: compute_possible(names, pair)[0])
        return self._floors[count]

    def stand_ins(self, count: int) -> Sample:
        """Training pictures in the place of fakes."""
        assert self.train is not None
        chosen = picked(self.train, count, self.config["seed"])
        return self.sample(chosen, data_fingerprint(chosen))

    def halves(self) -> tuple[Sample, Sample]:
        order = torch.randperm(len(self.reals), generator=generator(self.config["seed"], Purpose.REAL_PICTURES))
        half = len(order) // 2
        return part_of(self.real, order[:half]), part_of(self.real, order[half : 2 * half])

    def floor_is(self, count: int) -> str:
        """In words, what `floor` compared."""
        if self.train is None:
            return f"two halves of the reals, {len(self.reals) // 2} each"
        return f"{min(count, len(self.train))} training pictures against the {len(self.reals)} reals"

    def protocol(self, count: int) -> Config:
        """All that a score depends on besides the generator; scores of unlike protocols do not compare."""
        return {
            **self.origin,
            "real_fingerprint": self.fingerprint,
            "n_real": len(self.reals),
            "n_fake": count,
            "network": self.network.name,
            "network_hash": self.network.hash,
            "network_about": self.network.about,
            "network_resizer": self.network.resizer,
            "seed": self.config["seed"],
            "precision": "fp32",  # IEEE's: callers see to it (precision.ieee_float32)
            "ganrun": __version__,
        }

    def settings(self, count: int) -> dict[str, Config]:
        """For some scores, what these alone depend on."""
        kid = {**self.config["kid"], "size": min(self.config["kid"]["size"], len(self.reals), count)}
        learning = {"classifier": "ConvClassifier", **self.config["tstr"]}
        neighbours = {"k": K}, {"k": K_DENSITY}
        counted = self.namer is not None and {"modes", "all"} & {*(self.config["scores"] or ["modes"])}
        modes = self.namer.protocol if counted and self.namer is not None else {}
        return {
            "modes": modes, "high_quality": modes, "reverse_kl": modes,
            "kid": kid, "is": {"splits": self.config["splits"]}, "tstr": learning, "trts": learning,
            "precision": neighbours[0], "recall": neighbours[0], "density": neighbours[1], "coverage": neighbours[1],
        }  # fmt: skip

    # -- inside -----------------------------------------------------------------------------------------------------

    def pair(self, real: Sample | None, fake: Sample | None) -> Pair:
        nothing = Sample(Seen(torch.empty(0, self.network.size), None))
        train = self.learnt if self.train is not None else None
        return Pair(
            real or self.real, fake or nothing, self.network, self.reals.class_names if self.reals.classes else [],
            self.config, train, namer=self.namer,
        )  # fmt: skip

    def learnt(self) -> Sample:
        """All training pictures, looked at when first asked for."""
        if not self._learnt:
            assert self.train is not None
            self._learnt.append(self.sample(self.train, data_fingerprint(self.train)))
        return self._learnt[0]

    def asked(self, pair: Pair) -> list[str]:
        """Those of the scores asked for that these pictures can have."""
        has = pair.has()
        possible = wanted(["all"], has)
        names = self.config["scores"] or wanted(None, has)
        return possible if names == ["all"] else [name for name in names if name in possible]

    def compute(self, names: list[str], pair: Pair) -> Values:
        """The scores that these pictures can have; `notes` gains a line for each of the others.

        Raises UserError where none of them can be had.
        """
        found, faults = compute_possible(names, pair)
        if faults and not found:
            fault, *others = next(iter(faults.values())), *[*faults][1:]
            raise UserError(f"{fault}; nor is there {', '.join(others)}" if others else fault)
        self.notes += [f"no {name}: {fault}" for name, fault in faults.items()]
        return found

    def checked(self, images: Iterable[Tensor], kept: list[Tensor] | None) -> Iterator[Tensor]:
        """The same batches. Raises UserError for another shape than the reals'."""
        wanted_shape = (self.reals.channels, *self.reals.image_size)
        for batch in images:
            if tuple(batch.shape[1:]) != wanted_shape:
                mine, theirs = ("×".join(map(str, shape)) for shape in (batch.shape[1:], wanted_shape))
                raise UserError(f"the fake pictures are {mine} (channels×height×width), the real ones {theirs}")
            if kept is not None:
                kept.append(batch)
            yield batch

    def sample(self, data: Dataset, fingerprint: str) -> Sample:
        """A data set as the network sees it, looked at once: features are kept in the cache."""
        path = self.cache / "seen" / f"{self.network.name}-{self.network.hash}-{fingerprint}.pt"
        seen = read_seen(path, len(data), self.network.size)
        if seen is None:
            seen = self.network(images_of(data))
            if seen.features.nbytes <= LARGEST_KEPT:
                logits = None if seen.logits is None else seen.logits.cpu()
                keep({"features": seen.features.cpu(), "logits": logits}, path)
        where = "cpu" if self.network.device.type == "mps" else self.network.device
        seen = Seen(seen.features.to(where), None if seen.logits is None else seen.logits.to(where))
        labels = None if data.labels is None else data.labels.cpu()
        return Sample(seen, labels, data, fingerprint)


def compute_possible(names: Iterable[str], pair: Pair) -> tuple[Values, dict[str, str]]:
    """The scores that these pictures can have, and {name: what it would need} of the others."""
    found: Values = {}
    faults: dict[str, str] = {}
    for name in names:
        try:
            found |= SCORES[name].compute(pair)
        except Partly as error:
            found |= error.found
            faults[name] = str(error)
        except ValueError as error:
            faults[name] = str(error)
    return found, faults


def too_few_for(scorer: Scorer, count: int) -> None:
    """Raises UserError, before anything is drawn, where only a covariance is asked for and pictures are too few."""
    if scorer.config["scores"] == ["fid"]:
        too_few(min(count, len(scorer.reals)), scorer.pair(None, None))


def picked(data: Dataset, count: int | None, seed: int) -> Dataset:
    """A fixed random subset of `count` pictures, or all where there are no more."""
    if count is None or count >= len(data):
        return data
    return some_of(
        data, torch.randperm(len(data), generator=generator(seed, Purpose.REAL_PICTURES))[:count].sort().values
    )


def some_of(data: Dataset, indices: Tensor) -> Dataset:
    batch = {name: part.cpu() for name, part in data.take(indices.to(data.device)).items()}
    return Dataset(batch["image"], batch.get("label"), data.class_names)


def part_of(sample: Sample, indices: Tensor) -> Sample:
    where = indices.to(sample.seen.features.device)
    logits = None if sample.seen.logits is None else sample.seen.logits[where]
    labels = None if sample.labels is None else sample.labels[indices]
    data = None if sample.data is None else some_of(sample.data, indices)
    return Sample(Seen(sample.seen.features[where], logits), labels, data)


def images_of(data: Dataset) -> Iterator[Tensor]:
    for indices in torch.arange(len(data), device=data.device).split(BATCH):
        yield data.take(indices)["image"]


# -- the cache ------------------------------------------------------------------------------------------------------


def cache_folder(asked: str | None) -> Path:
    """Where feature networks and what they saw are kept: as asked, else in the user's own cache folder."""
    if asked is not None:
        return Path(str(asked)).expanduser()
    return user_cache()


def read_seen(path: Path, count: int, size: int) -> Seen | None:
    """None for a file that is not there, or of which anything is doubtful."""
    try:
        state = checkpoint.load(path)
        features, logits = state["features"], state["logits"]
        sound = features.shape == (count, size) and features.dtype == torch.float32
        return Seen(features, logits) if sound and (logits is None or len(logits) == count) else None
    except (CheckpointError, KeyError, TypeError, AttributeError):
        return None


def read_or_make(folder: Path, key: list[Any], make: Callable[[], Values]) -> Values:
    """Numbers that were worked out under this key before, or are now. Raises UserError where they cannot be kept."""
    path = folder / f"{hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:24]}.pt"
    try:
        return {str(name): float(value) for name, value in checkpoint.load(path)["values"].items()}
    except (CheckpointError, KeyError, TypeError, ValueError, AttributeError):
        values = make()
    keep({"values": values}, path)
    return values


def keep(state: Config, path: Path) -> None:
    """Raises UserError where it cannot be written."""
    try:
        make_folder(path.parent)
        checkpoint.save(state, path)
    except OSError as error:
        raise UserError(f"cache={path.parent} cannot be written: {error.strerror or error}; cache=FOLDER") from None


def file_hash(path: Path) -> str:
    """16 digits of the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
