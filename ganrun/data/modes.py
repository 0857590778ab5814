"""Modes: the parts that a known distribution is made of, and which of them a picture belongs to."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from ganrun.data.dataset import Dataset

Classify = Callable[[Tensor], Tensor]  # (N, C, H, W) pictures -> (N,) int64 classes
ClassifierOf = Callable[[Dataset], Classify]  # learns from labelled pictures


class Named(NamedTuple):
    """(N,) int64 the nearest mode of each picture; (N,) bool whether it is of high quality, None where all count."""

    mode: Tensor
    good: Tensor | None


class Modes(Protocol):
    """`count` modes that are equally likely. `about`: how pictures are told apart, for a score's protocol.

    singles: labelled pictures that a classifier must learn from to name the modes; None where none is needed.
    """

    count: int
    about: dict[str, object]
    singles: Dataset | None

    def name(self, pictures: Tensor, classifier_of: ClassifierOf) -> Named:
        """(N, C, H, W) as the data set stores them -> the mode of each."""
        ...


class Gaussians:
    """A point belongs to the nearest centre, and is of high quality within `radius` standard deviations of it.

    centres: (K, D) in the units of the stored points; sigma, in the same units. 3 σ is PacGAN's radius (Lin et al.,
    2018, section 4.1).
    """

    singles: Dataset | None = None

    def __init__(self, centres: Tensor, sigma: float, radius: float = 3.0) -> None:
        self.centres, self.sigma, self.radius, self.count = centres, sigma, radius, len(centres)
        self.about: dict[str, object] = {"modes": self.count, "high_quality": f"within {radius:g} sigma of a mode"}

    def name(self, pictures: Tensor, classifier_of: ClassifierOf) -> Named:
        distance, mode = torch.cdist(pictures.flatten(1).double(), self.centres.double()).min(1)
        return Named(mode, distance < self.radius * self.sigma)


class Channels:
    """K classes in each of C channels make K^C modes; a classifier of single channels names each (Metz et al., 2017).

    singles: labelled pictures of one channel that it learns from. The mode is the number whose digits the classes are.
    """

    def __init__(self, singles: Dataset, channels: int) -> None:
        self.singles: Dataset | None = singles
        self.classes, self.channels, self.count = singles.classes, channels, singles.classes**channels
        learnt = f"{len(singles)} pictures of {type(singles).__name__}"
        self.about: dict[str, object] = {"modes": self.count, "classifier_of": "each channel", "learnt_from": learnt}

    def name(self, pictures: Tensor, classifier_of: ClassifierOf) -> Named:
        assert self.singles is not None
        classify = classifier_of(self.singles)
        mode = torch.zeros(len(pictures), dtype=torch.int64)
        for channel in pictures.split(1, dim=1):
            mode = mode * self.classes + classify(channel).cpu()
        return Named(mode, None)
