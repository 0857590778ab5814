"""Extractor: a feature network, and the facts that distinguish it from other feature networks."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ganrun.common.images import to_unit
from ganrun.data.dataset import Dataset

BATCH = 500  # pictures in one forward pass


class Seen(NamedTuple):
    """The output of a feature network: (N, F) features and (N, K) logits, float32.

    The logits are None when the network is not a classifier.
    """

    features: Tensor
    logits: Tensor | None


@dataclass
class Extractor:
    """A feature network. Scores are compared only when their networks have the same name and hash.

    module: (N, C, H, W) images in [-1, 1] -> (N, F) features, and (N, K) logits or None. size: F.
    resizer: how the network resizes its input. classes: the names of its K classes, if they are the classes of the
    data. about: further facts for the protocol of the scores.
    """

    name: str
    module: nn.Module
    size: int
    resizer: str = "none"
    classes: list[str] = field(default_factory=list)
    named: bool = False  # whether the network gives logits
    smooth: bool = True  # whether it takes floats: a network that rounds to bytes does not see a small change
    about: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.module.eval().requires_grad_(False)
        self.hash = weights_hash(self.module)

    @property
    def device(self) -> torch.device:
        return next(self.module.parameters()).device

    @torch.inference_mode()
    def __call__(self, batches: Iterable[Tensor]) -> Seen:
        """Any number of (n, C, H, W) batches, as a data set stores them -> features and logits of all pictures.

        The result is on the network's device, or on the CPU when that device has no float64 (MPS).
        Raises ValueError when there are no pictures.
        """
        parts = [self.seen(part) for batch in batches for part in batch.split(BATCH)]
        if not parts:
            raise ValueError("there are no pictures to score")
        logits = [part.logits for part in parts if part.logits is not None]
        return Seen(torch.cat([part.features for part in parts]), torch.cat(logits) if logits else None)

    def seen(self, images: Tensor) -> Seen:
        """(n, C, H, W) uint8 or uint16, or floats in [-1, 1] -> their features and logits, in one forward pass."""
        images = images.to(self.device)
        features, logits = self.module(images if images.is_floating_point() else to_unit(images))
        where = "cpu" if self.device.type == "mps" else self.device
        return Seen(features.float().to(where), None if logits is None else logits.float().to(where))


class Features:
    """Base class of the choices of `features=`: settings from which `open` makes a feature network."""

    def open(self, data: Dataset, cache: Path, device: torch.device) -> Extractor:
        """The feature network, on `device`.

        data: pictures that the network may learn from; they are never the fake pictures. cache: a folder for weights.
        Raises UserError when the network or its weights cannot be had.
        """
        raise NotImplementedError


def weights_hash(module: nn.Module) -> str:
    """12 hexadecimal digits of the SHA-256 of every tensor with its name."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:12]


def data_fingerprint(data: Dataset) -> str:
    """16 hexadecimal digits of the BLAKE2b hash of all pictures and labels, in order."""
    digest = hashlib.blake2b(digest_size=8)
    for indices in torch.arange(len(data), device=data.device).split(BATCH):
        for name, tensor in sorted(data.take(indices).items()):
            digest.update(f"{name}{tuple(tensor.shape)}".encode())
            digest.update(tensor.cpu().numpy().tobytes())
    return digest.hexdigest()
