"""Extractor: one network that pictures are compared by, and all that tells it from another."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ganrun.data.dataset import Dataset

BATCH = 500  # pictures at a time


class Seen(NamedTuple):
    """(N, F) features and (N, K) logits, float32; None where the network names no classes."""

    features: Tensor
    logits: Tensor | None


@dataclass
class Extractor:
    """`module`: (N, C, H, W) images in [-1, 1] -> (N, F) features, (N, K) logits or None.

    name and hash: scores of other ones are never compared. resizer: what the network does to a picture's size.
    size: F. classes: the names of its K classes, where they are those of the data. about: what else should be known.
    """

    name: str
    module: nn.Module
    size: int
    resizer: str = "none"
    classes: list[str] = field(default_factory=list)
    named: bool = False  # whether there are logits
    smooth: bool = True  # whether it tells pictures apart that have the same bytes
    about: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.module.eval().requires_grad_(False)
        self.hash = weights_hash(self.module)

    @property
    def device(self) -> torch.device:
        return next(self.module.parameters()).device

    @torch.inference_mode()
    def __call__(self, batches: Iterable[Tensor]) -> Seen:
        """(N, C, H, W) batches as a data set stores them, as many as there are -> what the network makes of them all.

        On its device, or on the CPU where that knows no float64. Raises ValueError when there are none.
        """
        parts = [self.seen(part) for batch in batches for part in batch.split(BATCH)]
        if not parts:
            raise ValueError("there are no pictures to look at")
        logits = [part.logits for part in parts if part.logits is not None]
        return Seen(torch.cat([part.features for part in parts]), torch.cat(logits) if logits else None)

    def seen(self, images: Tensor) -> Seen:
        images = images.to(self.device)
        features, logits = self.module(images if images.is_floating_point() else images.float() / 127.5 - 1)
        where = "cpu" if self.device.type == "mps" else self.device
        return Seen(features.float().to(where), None if logits is None else logits.float().to(where))


class Features:
    """A choice of `features=`: it opens the network for some data."""

    def open(self, data: Dataset, cache: Path, device: torch.device) -> Extractor:
        """`data`: pictures it may learn from, never those that are judged. Raises UserError."""
        raise NotImplementedError


def weights_hash(module: nn.Module) -> str:
    """12 hexadecimal digits of the SHA-256 of every tensor with its name."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:12]


def data_fingerprint(data: Dataset) -> str:
    """16 hexadecimal digits of all its pictures and labels, in order."""
    digest = hashlib.blake2b(digest_size=8)
    for indices in torch.arange(len(data), device=data.device).split(BATCH):
        for name, tensor in sorted(data.take(indices).items()):
            digest.update(f"{name}{tuple(tensor.shape)}".encode())
            digest.update(tensor.cpu().numpy().tobytes())
    return digest.hexdigest()
