"""Scorer: extracts the features of the real pictures once, then scores any number of sets of fake pictures."""

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
from ganrun.evaluation.metrics.copying import authentic
from ganrun.evaluation.metrics.manifolds import K_DENSITY, K
from ganrun.evaluation.mode_names import ModeNamer
from ganrun.evaluation.picture_sets import among
from ganrun.evaluation.scores import SCORES, Pair, Partly, Sample, Values, too_few, wanted

MANY, FEWER = 50_000, 10_000  # reals: of Kynkäänniemi et al., 2019, and of Naeem et al., 2020
COPIED = 0.9  # from this score `copied` on, and with half of the reals' `authentic`, a note says so
LARGEST_CACHED = 2**29  # bytes; larger feature tensors are computed again instead of filling the user's disk


class Scorer:
    """Scores fake pictures against the real pictures `reals`. It does not depend on what makes the fake pictures.

    config: scores, seed, kid, splits, tstr, n_real, cache and the node `features`, as in conf/eval.yaml.
    train: the pictures that the generator learnt from, or None. `train` and `reals` have no picture in common.
    The feature network learns from `train`; without `train`, it learns from `reals`.
    origin: entries to add to the protocol of the scores.
    originals: the pictures whose copies the score copying looks for; None = `train`. No other score depends on them.
    They may have pictures in common with `reals`; copying leaves these out of the reals.
    Raises UserError when the feature network or its weights cannot be had.
    """

    def __init__(
        self,
        config: Config,
        reals: Dataset,
        train: Dataset | None,
        device: torch.device,
        origin: Config | None = None,
        originals: Dataset | None = None,
    ) -> None:
        self.config, self.train, self.origin = config, train, origin or {}
        self.originals = train if originals is None else originals
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
        """(N, C, H, W) uint8 batches -> {score: value}.

        labels: (N,) the class that the generator was asked for, for each picture.
        lengths: a function from the feature network to (M,) perceptual path lengths.
        Raises UserError when the fake pictures do not have the shape of the real ones, when there are too few of
        them, or when a score in `scores=` cannot be computed for them.
        """
        pair = self.pair(None, None)
        if labels is not None and self.reals.labels is not None:
            pair.fake.labels = labels
        pair.lengths = (lambda: lengths(self.network)) if lengths and self.network.smooth else None
        names = wanted(self.config["scores"], pair.has())
        batches: list[Tensor] | None = [] if any(SCORES[name].pixels for name in names) else None
        seen = self.network(self.checked(images, batches))
        labels = pair.fake.labels
        pair.fake = Sample(seen, labels, Dataset(torch.cat(batches), labels, pair.class_names) if batches else None)
        found = self.compute(names, pair)
        if found.get("copied", 0) >= COPIED:  # only then: `authentic` of all reals takes long
            self.notes += repeats(found["copied"], found["authentic"], authentic(*self.for_copying()))
        return found

    def floor(self, count: int) -> Values:
        """{score: value} of real pictures against other real pictures: the best that a perfect generator can reach.

        With `train`, `count` training pictures are scored against the reals. Without it, one half of the reals is
        scored against the other half. Raises UserError when the result cannot be written to the cache.
        """
        if count not in self._floors:
            real, fake = self.halves() if self.train is None else (self.real, self.stand_ins(count))
            pair = self.pair(real, fake)
            names = [name for name in self.asked(pair) if SCORES[name].floor]
            settings = {
                name: part for name, part in self.settings(count).items() if name not in ("copied", "authentic")
            }
            key = [names, self.protocol(count), settings, self.floor_is(count), fake.fingerprint]
            self._floors[count] = read_or_make(self.cache / "floors", key, lambda: compute_possible(names, pair)[0])
        return self._floors[count]

    def stand_ins(self, count: int) -> Sample:
        """`count` training pictures, which take the place of the fakes."""
        assert self.train is not None
        chosen = picked(self.train, count, self.config["seed"])
        return self.sample(chosen, data_fingerprint(chosen))

    def halves(self) -> tuple[Sample, Sample]:
        """Two random halves of the reals, of equal size."""
        order = torch.randperm(len(self.reals), generator=generator(self.config["seed"], Purpose.REAL_PICTURES))
        half = len(order) // 2
        return part_of(self.real, order[:half]), part_of(self.real, order[half : 2 * half])

    def floor_is(self, count: int) -> str:
        """A phrase that says which pictures `floor(count)` compares."""
        if self.train is None:
            return f"two halves of the reals, {len(self.reals) // 2} each"
        return f"{min(count, len(self.train))} training pictures against the {len(self.reals)} reals"

    def protocol(self, count: int) -> Config:
        """Everything that a score depends on, except the generator. Only scores with equal protocols are compared."""
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
            "precision": "fp32",  # IEEE float32, without TF32: the caller sets it (precision.ieee_float32)
            "ganrun": __version__,
        }

    def settings(self, count: int) -> dict[str, Config]:
        """{score: the settings that only this score depends on}."""
        kid = {**self.config["kid"], "size": min(self.config["kid"]["size"], len(self.reals), count)}
        learning = {"classifier": "ConvClassifier", **self.config["tstr"]}
        neighbours = {"k": K}, {"k": K_DENSITY}
        counted = self.namer is not None and {"modes", "all"} & {*(self.config["scores"] or ["modes"])}
        modes = self.namer.protocol if counted and self.namer is not None else {}
        copying = self.learnt_from() if {"copying", "all"} & {*(self.config["scores"] or ())} else {}
        return {
            "copied": copying, "authentic": copying,
            "modes": modes, "high_quality": modes, "reverse_kl": modes,
            "kid": kid, "is": {"splits": self.config["splits"]}, "tstr": learning, "trts": learning,
            "precision": neighbours[0], "recall": neighbours[0], "density": neighbours[1], "coverage": neighbours[1],
        }  # fmt: skip

    # -- helpers ----------------------------------------------------------------------------------------------------

    def pair(self, real: Sample | None, fake: Sample | None) -> Pair:
        """The two sets to compare. None means all reals, or an empty set of fakes that `score` fills in later."""
        nothing = Sample(Seen(torch.empty(0, self.network.size), None))
        train = self.learnt if self.train is not None else None
        return Pair(
            real or self.real, fake or nothing, self.network, self.reals.class_names if self.reals.classes else [],
            self.config, train, self.for_copying if self.originals is not None else None, namer=self.namer,
        )  # fmt: skip

    def learnt(self) -> Sample:
        """All training pictures with their features, which are extracted at the first call."""
        if not self._learnt:
            assert self.originals is not None
            self._learnt.append(self.sample(self.originals, data_fingerprint(self.originals)))
        return self._learnt[0]

    def learnt_from(self) -> Config:
        """The protocol's entries about the training pictures; none without these."""
        if self.originals is None:
            return {}
        return {
            "train_fingerprint": self.learnt().fingerprint,
            "n_train": len(self.originals),
            "train_mirrored": self.originals.flip,
        }

    def for_copying(self) -> tuple[Tensor, Tensor]:
        """(L, F), (N, F): the features of the training pictures, and of the reals that are not among them.

        Where the generator also learnt from mirrored pictures, these follow the others: L is twice their number.
        """
        learnt, real = self.learnt(), self.real.seen.features
        assert self.originals is not None
        if self.originals is not self.train:
            real = self.real.only(~among(self.reals, self.originals))
        if not self.originals.flip:
            return learnt.seen.features, real
        mirrored = self.sample(self.originals, learnt.fingerprint, mirrored=True)
        return torch.cat([learnt.seen.features, mirrored.seen.features]), real

    def asked(self, pair: Pair) -> list[str]:
        """The names in `scores=` that can be computed for these pictures."""
        has = pair.has()
        possible = wanted(["all"], has)
        names = self.config["scores"] or wanted(None, has)
        return possible if names == ["all"] else [name for name in names if name in possible]

    def compute(self, names: list[str], pair: Pair) -> Values:
        """{score: value}. For each score that cannot be computed, a line is added to `notes`.

        Raises UserError when no score can be computed.
        """
        found, faults = compute_possible(names, pair)
        if faults and not found:
            fault, *others = next(iter(faults.values())), *[*faults][1:]
            raise UserError(f"{fault}; {', '.join(others)} cannot be computed either" if others else fault)
        self.notes += [f"no {name}: {fault}" for name, fault in faults.items()]
        return found

    def checked(self, images: Iterable[Tensor], batches: list[Tensor] | None) -> Iterator[Tensor]:
        """The same batches, which are also appended to `batches`, if given.

        Raises UserError when a picture does not have the shape of the real ones.
        """
        wanted_shape = (self.reals.channels, *self.reals.image_size)
        for batch in images:
            if tuple(batch.shape[1:]) != wanted_shape:
                mine, theirs = ("×".join(map(str, shape)) for shape in (batch.shape[1:], wanted_shape))
                raise UserError(f"the fake pictures are {mine} (channels×height×width), the real ones {theirs}")
            if batches is not None:
                batches.append(batch)
            yield batch

    def sample(self, data: Dataset, fingerprint: str, mirrored: bool = False) -> Sample:
        """A data set with its features, read from the cache or extracted and written there.

        mirrored: the features are those of the mirrored pictures.
        """
        name = f"{self.network.name}-{self.network.hash}-{fingerprint}{'-mirrored' * mirrored}"
        path = self.cache / "seen" / f"{name}.pt"
        seen = read_seen(path, len(data), self.network.size)
        if seen is None:
            seen = self.network(batch.flip(-1) if mirrored else batch for batch in images_of(data))
            if seen.features.nbytes <= LARGEST_CACHED:
                logits = None if seen.logits is None else seen.logits.cpu()
                write_to_cache({"features": seen.features.cpu(), "logits": logits}, path)
        # the metrics compute in float64, which MPS does not have
        where = "cpu" if self.network.device.type == "mps" else self.network.device
        seen = Seen(seen.features.to(where), None if seen.logits is None else seen.logits.to(where))
        labels = None if data.labels is None else data.labels.cpu()
        return Sample(seen, labels, data, fingerprint)


def compute_possible(names: Iterable[str], pair: Pair) -> tuple[Values, dict[str, str]]:
    """{score: value}, and {name: why it cannot be computed} for the names that have no value."""
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


def repeats(share: float, new: float, real: float) -> list[str]:
    """A line about a generator that repeats its training pictures; else none.

    share: the score `copied`, COPIED or more. new: `authentic`. real: `authentic` of the real pictures, which nobody
    learnt from.
    """
    if new > real / 2:
        return []
    return [
        f"copied {share:.3g} and authentic {new:.3g}, where real pictures that nobody learnt from have 0.5 and "
        f"{real:.3g}: the pictures repeat training pictures; out=x.json shows them in x.nearest.png"
    ]


def too_few_for(scorer: Scorer, count: int) -> None:
    """Raises UserError when `scores=` is [fid] alone and there are too few pictures for its covariance.

    It is called before any picture is drawn, so that the user does not wait for an error.
    """
    if scorer.config["scores"] == ["fid"]:
        too_few(min(count, len(scorer.reals)), scorer.pair(None, None))


def slow_scores(scorer: Scorer) -> list[str]:
    """A line for prdc where each real picture is compared with more others than the papers compare it with."""
    count = len(scorer.reals)
    if count <= MANY or "prdc" not in scorer.asked(scorer.pair(None, None)):
        return []
    return [f"prdc compares each of the {count} real pictures with all others: n_real={FEWER} is quicker, and as usual"]


def picked(data: Dataset, count: int | None, seed: int) -> Dataset:
    """A random subset of `count` pictures, the same for the same seed; all pictures when there are no more."""
    if count is None or count >= len(data):
        return data
    return some_of(
        data, torch.randperm(len(data), generator=generator(seed, Purpose.REAL_PICTURES))[:count].sort().values
    )


def some_of(data: Dataset, indices: Tensor) -> Dataset:
    """The pictures at (n,) `indices`, as a data set on the CPU."""
    batch = {name: part.cpu() for name, part in data.take(indices.to(data.device)).items()}
    return Dataset(batch["image"], batch.get("label"), data.class_names)


def part_of(sample: Sample, indices: Tensor) -> Sample:
    """The pictures at (n,) `indices`, with their features."""
    where = indices.to(sample.seen.features.device)
    logits = None if sample.seen.logits is None else sample.seen.logits[where]
    labels = None if sample.labels is None else sample.labels[indices]
    data = None if sample.data is None else some_of(sample.data, indices)
    return Sample(Seen(sample.seen.features[where], logits), labels, data)


def images_of(data: Dataset) -> Iterator[Tensor]:
    """All pictures, as (n, C, H, W) uint8 batches."""
    for indices in torch.arange(len(data), device=data.device).split(BATCH):
        yield data.take(indices)["image"]


# -- the cache ------------------------------------------------------------------------------------------------------


def cache_folder(asked: str | None) -> Path:
    """The folder for feature networks, features and floors: `cache=`, or the user's cache folder by default."""
    if asked is not None:
        return Path(str(asked)).expanduser()
    return user_cache()


def read_seen(path: Path, count: int, size: int) -> Seen | None:
    """The (count, size) features in a cached file; None when there is no such file or its content is not valid."""
    try:
        state = checkpoint.load(path)
        features, logits = state["features"], state["logits"]
        sound = features.shape == (count, size) and features.dtype == torch.float32
        return Seen(features, logits) if sound and (logits is None or len(logits) == count) else None
    except (CheckpointError, KeyError, TypeError, AttributeError):
        return None


def read_or_make(folder: Path, key: list[Any], make: Callable[[], Values]) -> Values:
    """Values from the cache, or those that `make` returns, which are then cached under `key`.

    Raises UserError when the cache cannot be written.
    """
    path = folder / f"{hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:24]}.pt"
    try:
        return {str(name): float(value) for name, value in checkpoint.load(path)["values"].items()}
    except (CheckpointError, KeyError, TypeError, ValueError, AttributeError):
        values = make()
    write_to_cache({"values": values}, path)
    return values


def write_to_cache(state: Config, path: Path) -> None:
    """Raises UserError when the file cannot be written."""
    try:
        make_folder(path.parent)
        checkpoint.save(state, path)
    except OSError as error:
        raise UserError(f"cache={path.parent} cannot be written: {error.strerror or error}; cache=FOLDER") from None


def file_hash(path: Path) -> str:
    """16 digits of the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
