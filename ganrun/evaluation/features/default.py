"""The default features: a small classifier trained once on labelled data, a random network for data without labels."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ganrun.checkpoints import checkpoint
from ganrun.common.atomic import make_folder
from ganrun.common.bounds import Count, Natural, Positive, Setting
from ganrun.common.errors import CheckpointError, UserError
from ganrun.common.seeding import Purpose, generator
from ganrun.data.dataset import Dataset
from ganrun.evaluation.classifier import Arm, tested, trained
from ganrun.evaluation.features.extractor import Extractor, Features, data_fingerprint
from ganrun.evaluation.features.random_conv import RandomConv
from ganrun.networks.classifier import ConvClassifier

FORMAT = 1  # to be raised whenever the same settings would train another network
MOST = 256
HELD_OUT = 10  # one picture of so many is not learnt from, and tells the accuracy
ALONE = Arm("features", real=True, ratio=0, classic=False)


class Default(Features):
    """For labelled data a `ConvClassifier` with a last hidden layer of `features` units, trained `steps` steps.

    It is kept in `cache`, under a digest of the data and these settings. For data without labels, or of one class, a
    random network (`ganrun.evaluation.features.random_conv`). Raises ValueError for settings that no network has.
    """

    def __init__(
        self,
        features: Setting = 128,
        steps: Count = 2000,
        batch_size: Count = 64,
        lr: Positive = 1e-3,
        seed: Natural = 0,
    ) -> None:
        if not 1 <= features <= MOST:
            raise ValueError(f"features.features={features} must be from 1 to {MOST}")
        if min(steps, batch_size) < 1 or not 0 < lr < 1:
            raise ValueError(f"features: steps={steps} and batch_size={batch_size} must be at least 1, lr={lr} below 1")
        self.features, self.seed = features, seed
        self.training = {"steps": steps, "batch_size": batch_size, "lr": float(lr)}

    def open(self, data: Dataset, cache: Path, device: torch.device) -> Extractor:
        if (
            data.classes < 2
            or len(data) < HELD_OUT * 2
            or "image" not in data.take(torch.tensor([0], device=data.device))
        ):
            return RandomConv(self.seed).open(data, cache, device)
        settings = {"format": FORMAT, "features": self.features, "seed": self.seed, **self.training}
        shape = {"channels": data.channels, "image_size": list(data.image_size), "classes": data.classes}
        made = {**settings, **shape, "data": data_fingerprint(data)}
        name = f"{type(data).__name__.lower()}cnn"
        digest = hashlib.sha256(json.dumps(made, sort_keys=True).encode()).hexdigest()[:16]
        kept = cache / f"{name}-{digest}.pt"
        devices = [device] if device.type == "cuda" else []
        with torch.random.fork_rng(devices), torch.enable_grad():  # a run that asks for this goes on as if it had not
            network = WithHead(data.channels, data.image_size, data.classes, self.features)
            accuracy = restored(network, kept)
            if accuracy is None:
                network, accuracy = self.learn(data, device)
                keep({"network": network.state_dict(), "accuracy": accuracy, "made": made}, kept)
        about = {"accuracy": accuracy, "accuracy_of": f"1 in {HELD_OUT} of its data, which it did not learn from"}
        looking = WithFeatures(network.to(device))
        return Extractor(name, looking, self.features, classes=data.class_names, named=True, about=about)

    def learn(self, data: Dataset, device: torch.device) -> tuple[WithHead, float]:
        """A trained network, and its accuracy on the pictures that were held out."""
        order = torch.randperm(len(data), generator=generator(self.seed, Purpose.FEATURE_SPLIT))
        rest, held = order[len(data) // HELD_OUT :], order[: len(data) // HELD_OUT]
        batch = min(self.training["batch_size"], len(rest))
        node = {"_target_": "ganrun.evaluation.features.default.WithHead", "features": self.features}
        node |= {"channels": data.channels, "image_size": list(data.image_size), "classes": data.classes}
        config = {**self.training, "batch_size": batch, "classifier": node, "transforms": {}}
        print(f"ganrun: note: features: a classifier learns from {len(rest)} pictures, once", file=sys.stderr)
        network = trained(config, ALONE, part(data, rest), self.seed, device)
        assert isinstance(network, WithHead)
        return network, tested(network, part(data, held), device)


class WithHead(nn.Module):
    """A `ConvClassifier` whose outputs, `features` of them, are rectified and led to the classes."""

    def __init__(self, channels: int, image_size: int | list[int] | tuple[int, int], classes: int, features: int):
        super().__init__()
        self.trunk = nn.Sequential(ConvClassifier(channels, image_size, features), nn.ReLU())
        self.head = nn.Linear(features, classes)

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) images in [-1, 1] -> (N, classes) logits."""
        return self.head(self.trunk(images))


class WithFeatures(nn.Module):
    """The same network, with its features beside its logits."""

    def __init__(self, network: WithHead) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(N, C, H, W) images in [-1, 1] -> (N, F) features, (N, K) logits."""
        features = self.network.trunk(images)
        return features, self.network.head(features)


def part(data: Dataset, indices: Tensor) -> Dataset:
    batch = {name: each.cpu() for name, each in data.take(indices.to(data.device)).items()}
    return Dataset(batch["image"], batch["label"], data.class_names)


def restored(network: nn.Module, path: Path) -> float | None:
    """Its accuracy, when the file at `path` holds its weights; None otherwise, whatever is wrong with the file."""
    try:
        state = checkpoint.load(path)
        network.load_state_dict(state["network"])
        return float(state["accuracy"])
    except (CheckpointError, RuntimeError, KeyError, TypeError, ValueError, AttributeError):
        return None


def keep(state: dict[str, Any], path: Path) -> None:
    """Raises UserError where the cache cannot be written."""
    try:
        make_folder(path.parent)
        checkpoint.save(state, path)
    except OSError as error:
        raise UserError(f"cache={path.parent} cannot be written: {error.strerror or error}; cache=FOLDER") from None
