"""Names the mode of each picture, by its place or by a classifier that is trained once."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from ganrun.data.dataset import Dataset
from ganrun.data.modes import Classify, Modes, Named
from ganrun.evaluation.features.default import Default
from ganrun.evaluation.features.extractor import Extractor


class ModeNamer:
    """Names pictures by the modes of their data. A classifier that these need is kept in `cache`, as all features."""

    def __init__(self, modes: Modes, cache: Path, device: torch.device) -> None:
        self.modes, self.cache, self.device = modes, cache, device

    def __call__(self, pictures: Tensor) -> Named:
        """(N, C, H, W) as the data set stores them -> the mode of each."""
        return self.modes.name(pictures, self.classifier_of)

    @cached_property
    def classifier(self) -> Extractor | None:
        """Raises UserError where it cannot be kept."""
        singles = self.modes.singles
        return None if singles is None else Default().open(singles, self.cache, self.device)

    def classifier_of(self, singles: Dataset) -> Classify:
        classifier = self.classifier
        assert classifier is not None

        def classify(images: Tensor) -> Tensor:
            logits = classifier([images]).logits
            assert logits is not None
            return logits.argmax(1)

        return classify

    @property
    def protocol(self) -> dict[str, object]:
        """What the names depend on."""
        network = self.classifier
        if network is None:
            return self.modes.about
        return {**self.modes.about, "classifier": network.name, "classifier_hash": network.hash, **network.about}
