"""scores: what each name in `scores=` needs, and how it is computed from a set of real and a set of fake pictures."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from ganrun.common.errors import UserError
from ganrun.common.types import Config
from ganrun.data.dataset import Dataset
from ganrun.evaluation.classifier import ALONE, tested, trained
from ganrun.evaluation.features.coordinates import COORDINATES
from ganrun.evaluation.features.extractor import Extractor, Seen
from ganrun.evaluation.metrics.copying import authentic, copied
from ganrun.evaluation.metrics.frechet import Gaussian, frechet, gaussian
from ganrun.evaluation.metrics.inception_score import inception_score
from ganrun.evaluation.metrics.kernel import kid
from ganrun.evaluation.metrics.manifolds import manifolds, reach
from ganrun.evaluation.metrics.modes import modes_covered
from ganrun.evaluation.metrics.path_length import without_extremes
from ganrun.evaluation.metrics.shares import shares, total_variation
from ganrun.evaluation.mode_names import ModeNamer

Values = dict[str, float]


@dataclass
class Sample:
    """A set of pictures with its features.

    seen: their features and logits. labels: (N,) int64 classes, or None. data: the pictures themselves, for the scores
    that train a classifier; else None. fingerprint: a hash of the pictures, "" when it is not known.
    """

    seen: Seen
    labels: Tensor | None = None
    data: Dataset | None = None
    fingerprint: str = ""

    def __len__(self) -> int:
        return len(self.seen.features)

    @cached_property
    def reach(self) -> Tensor:
        """(2, N) the squared radii of `manifolds.reach`, computed once."""
        return reach(self.seen.features)

    @cached_property
    def gaussian(self) -> Gaussian:
        """The mean and covariance of the features, computed once. Raises ValueError for too few pictures."""
        return gaussian(self.seen.features)

    def only(self, chosen: Tensor) -> Tensor:
        """(N,) bool or (n,) indices -> (n, F) the features of the chosen pictures."""
        return self.seen.features[chosen.to(self.seen.features.device)]


@dataclass
class Pair:
    """What a score is computed from.

    settings: the configuration, as in conf/eval.yaml. train: returns the pictures that the generator learnt from.
    for_copying: returns (L, F) features of these pictures, and (N, F) of the reals that are not among them.
    lengths: returns (M,) perceptual path lengths; None where the generator or the feature network has none.
    namer: names the modes of pictures, where those of the data are known.
    """

    real: Sample
    fake: Sample
    network: Extractor
    class_names: list[str]
    settings: Config
    train: Callable[[], Sample] | None = None
    for_copying: Callable[[], tuple[Tensor, Tensor]] | None = None
    lengths: Callable[[], Tensor] | None = None
    namer: ModeNamer | None = None

    def has(self) -> set[str]:
        """The keys of `NEEDS` that this pair fulfils, and "points" where it is of points of a plane."""
        found = {
            "logits": self.network.named,
            "classes": self.network.classes == self.class_names != [],
            "labels": self.real.labels is not None,
            "fake labels": self.fake.labels is not None and self.real.labels is not None,
            "training pictures": self.for_copying is not None,
            "latents": self.lengths is not None,
            "modes": self.namer is not None,
            "points": self.network.name == COORDINATES,
        }
        return {name for name, there in found.items() if there}


class Partly(UserError):
    """Raised by a score with several values when only the values in `found` can be computed."""

    def __init__(self, message: str, found: Values) -> None:
        super().__init__(message)
        self.found = found


NEEDS = {  # in error messages: what the user has to supply
    "logits": "a feature network that names classes: features=inception, or labelled data of two classes or more",
    "classes": "a classifier of these data's classes: features=default, and labelled data of two classes or more",
    "labels": "labelled real pictures",
    "fake labels": "labels of the real and of the fake pictures: a conditional run, class folders, or labels in an npz",
    "training pictures": "training pictures that are not among the real ones: ckpt=RUN split=test, or train=",
    "modes": "data whose modes are known: dataset=ring, dataset=grid or dataset=stacked_mnist",
    "latents": "a run that draws from noise, and a network that sees small changes: ckpt=RUN features=default",
}


WITH_TARGETS = "pictures that have a target: ckpt=RUN of an image-to-image model and its pairs, or ganrun apply target="


# -- one function for each name -------------------------------------------------------------------------------------


def fid(pair: Pair) -> Values:
    """Fréchet distance of the features of all pictures (Heusel et al., 2017)."""
    return {"fid": frechet(gaussian_of(pair.real, pair), gaussian_of(pair.fake, pair))}


def class_fid(pair: Pair) -> Values:
    """The Fréchet distance of each class.

    The class of a fake is the one that the generator was asked for. Without labels, the network predicts it.
    Raises Partly when a class has too few pictures.
    """
    real, fake = pair.real.labels, named(pair.fake)
    assert real is not None
    found, faults = {}, []
    for label, name in enumerate(pair.class_names):
        parts = [sample.only(labels == label) for sample, labels in ((pair.real, real), (pair.fake, fake))]
        try:
            too_few(min(map(len, parts)), pair, f" of the class {name}")
            found[f"fid.{word(name)}"] = frechet(*map(gaussian, parts))
        except UserError as error:
            faults.append(str(error))
    if faults:
        more = f" (the same holds for {len(faults) - 1} other classes)" if len(faults) > 1 else ""
        raise Partly(f"{faults[0]}{more}", found)
    return found


def kernel_distance(pair: Pair) -> Values:
    """KID; subsets are no larger than the smaller set."""
    settings = pair.settings["kid"]
    size = min(settings["size"], len(pair.real), len(pair.fake))
    return {"kid": kid(pair.real.seen.features, pair.fake.seen.features, settings["subsets"], size)}


def inception(pair: Pair) -> Values:
    """The Inception Score of the fakes."""
    assert pair.fake.seen.logits is not None
    return {"is": inception_score(pair.fake.seen.logits, pair.settings["splits"])}


def prdc(pair: Pair) -> Values:
    """Precision, recall, density and coverage."""
    return manifolds(pair.real.seen.features, pair.fake.seen.features, pair.real.reach)._asdict()


def class_shares(pair: Pair) -> Values:
    """The share of each class among the fakes, as the network classifies them.

    `shares_tv` is the total variation distance to the shares of the real labels.
    """
    assert pair.fake.seen.logits is not None
    assert pair.real.labels is not None
    found = shares(pair.fake.seen.logits.argmax(1).cpu(), len(pair.class_names))
    away = total_variation(found, shares(pair.real.labels, len(pair.class_names)))
    names = [f"share.{word(name)}" for name in pair.class_names]
    return {**dict(zip(names, found.tolist(), strict=True)), "shares_tv": away}


def label_accuracy(pair: Pair) -> Values:
    """The share of fakes that the network assigns to the class that the generator was asked for."""
    assert pair.fake.seen.logits is not None
    assert pair.fake.labels is not None
    return {"label_accuracy": (pair.fake.seen.logits.argmax(1).cpu() == pair.fake.labels).double().mean().item()}


def copying(pair: Pair) -> Values:
    """Whether the generator repeats its training pictures: see `metrics/copying.py`."""
    assert pair.for_copying is not None
    learnt, unlearnt = pair.for_copying()
    fake = pair.fake.seen.features
    return {"copied": copied(learnt, unlearnt, fake), "authentic": authentic(learnt, fake)}


def path_length(pair: Pair) -> Values:
    """Perceptual path length, without the extreme lengths."""
    assert pair.lengths is not None
    return {"ppl": without_extremes(pair.lengths())}


def tstr(pair: Pair) -> Values:
    """Train on synthetic pictures, test on real ones (Esteban et al., 2017, section 4.2)."""
    return {"tstr": learnt_and_tested(pair, pair.fake, pair.real)}


def trts(pair: Pair) -> Values:
    """Train on real pictures, test on synthetic ones."""
    train = pair.train() if pair.train else pair.real
    return {"trts": learnt_and_tested(pair, pair.real if train.labels is None else train, pair.fake)}


def modes(pair: Pair) -> Values:
    assert pair.namer is not None
    assert pair.fake.data is not None
    mode, good = pair.namer(pair.fake.data.take(torch.arange(len(pair.fake.data)))["image"])
    return modes_covered(mode, good, pair.namer.modes.count)


class Score(NamedTuple):
    """compute: its function. needs: keys of `NEEDS`. usual: it is computed when `scores=` names none.

    floor: it is also computed for real pictures in the place of the fakes. pixels: it needs the pictures themselves.
    """

    compute: Callable[[Pair], Values]
    needs: tuple[str, ...] = ()
    usual: bool = False
    floor: bool = True
    pixels: bool = False


SCORES = {
    "fid": Score(fid, usual=True),
    "kid": Score(kernel_distance, usual=True),
    "is": Score(inception, ("logits",), usual=True),
    "prdc": Score(prdc, usual=True),
    "modes": Score(modes, ("modes",), usual=True, pixels=True),
    "shares": Score(class_shares, ("classes", "labels"), usual=True),
    "label_accuracy": Score(label_accuracy, ("classes", "fake labels"), usual=True),
    "class_fid": Score(class_fid, ("classes", "labels")),
    "copying": Score(copying, ("training pictures",), floor=False),
    "ppl": Score(path_length, ("latents",), floor=False),
    "tstr": Score(tstr, ("fake labels",), pixels=True),
    "trts": Score(trts, ("fake labels",), floor=False, pixels=True),
}


# -- helpers --------------------------------------------------------------------------------------------------------


def too_few(count: int, pair: Pair, which: str = "") -> None:
    """Raises UserError when `count` pictures are too few for a covariance; `which` ends the sentence about them."""
    size = pair.network.size
    if count <= size:
        learnt = "accuracy" in pair.network.about
        fewer = f"fewer features (features.features={max(1, count // 2)}), " if learnt else ""
        raise UserError(
            f"a covariance of {size} features ({pair.network.name}) needs more than {size} pictures, and there are "
            f"{count}{which}: give more (n=, or split= for the real ones), {fewer}or scores=[kid,prdc], which do "
            "without a covariance"
        )


def gaussian_of(sample: Sample, pair: Pair) -> Gaussian:
    """Raises UserError, not ValueError, for too few pictures."""
    too_few(len(sample), pair)
    return sample.gaussian


def word(name: str) -> str:
    """The name of a class as it stands in the name of a score: "0 - zero" -> "0-zero"."""
    return "-".join(re.findall(r"\w+", name)) or "_"


def named(sample: Sample) -> Tensor:
    """(N,) labels on the CPU: the sample's own, or the classes that the network predicts when it has none."""
    if sample.labels is not None:
        return sample.labels
    assert sample.seen.logits is not None
    return sample.seen.logits.argmax(1).cpu()


def learnt_and_tested(pair: Pair, learnt: Sample, judged: Sample) -> float:
    """The accuracy on `judged` of a `ConvClassifier` that is trained on `learnt`."""
    train, test = learnt.data, judged.data
    assert train is not None
    assert test is not None
    facts = {"channels": train.channels, "image_size": list(train.image_size), "classes": train.classes}
    node = {"_target_": "ganrun.networks.classifier.ConvClassifier", **facts}
    config = {**pair.settings["tstr"], "classifier": node, "transforms": {}}
    config["batch_size"] = min(config["batch_size"], len(train))
    device = pair.network.device
    # fork_rng: a training run that computes this score must go on with the random numbers that it would have had
    with torch.random.fork_rng([device] if device.type == "cuda" else []), torch.enable_grad():
        network = trained(config, ALONE, train, pair.settings["seed"], device)
    return tested(network, test, device)


def wanted(names: Iterable[str] | None, has: set[str]) -> list[str]:
    """The scores to compute; `has` are the needs that are fulfilled.

    None: the usual scores that can be computed; for points with known modes, these alone. ["all"]: every score that
    can be computed. Otherwise `names` itself.
    Raises UserError when a score in `names` cannot be computed.
    """
    if names is None and has.issuperset(("points", "modes")):
        return ["modes"]
    if names is None:
        return [name for name, score in SCORES.items() if score.usual and has.issuperset(score.needs)]
    chosen = list(names)
    if chosen == ["all"]:
        return [name for name, score in SCORES.items() if has.issuperset(score.needs)]
    for name in chosen:
        if missing := [need for need in SCORES[name].needs if need not in has]:
            raise UserError(f"scores={name} needs {NEEDS[missing[0]]}")
    return chosen
