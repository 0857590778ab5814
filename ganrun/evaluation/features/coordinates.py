"""Features of points: their own coordinates, since no network sees more in them."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from ganrun.data.dataset import Dataset
from ganrun.evaluation.features.extractor import Extractor, Features

COORDINATES = "coordinates"  # the name of these features


class Coordinates(Features):
    """For data of 1×1 pixel, whatever `features=` says."""

    def open(self, data: Dataset, cache: Path, device: torch.device) -> Extractor:
        return Extractor(COORDINATES, Itself().to(device), data.channels)


class Itself(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.unit = nn.Parameter(torch.ones(()))  # a module's device is that of its weights

    def forward(self, images: Tensor) -> tuple[Tensor, None]:
        """(N, C, 1, 1) points -> (N, C), and no logits."""
        return images.flatten(1) * self.unit, None
