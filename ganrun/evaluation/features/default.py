"""The default features: those of a small classifier, trained once on labelled data; a random network without labels."""

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

FORMAT = 1  # part of the cache key: raise it whenever the same settings would train another network
MOST = 256  # features
HELD_OUT = 10  # one picture in 10 is held out from training, to measure the accuracy
ALONE = Arm("features", real=True, ratio=0, classic=False)


class Default(Features):
    """The last hidden layer of a `ConvClassifier`, with `features` units, that is trained on labelled data.

    The trained network is stored in `cache`, under a hash of the data and these settings. Data without labels or with
    one class get a random network (`ganrun.evaluation.features.random_conv`). So do fewer than 20 pictures.
    lr: learning rate. Raises ValueError when `features` is not in 1 to 256, `steps` or `batch_size` is below 1, or
    `lr` is not in (0, 1).
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
            raise ValueError(
                f"features: steps={steps} and batch_size={batch_size} must be at least 1, lr={lr} above 0 and below 1"
            )
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
        key = {**settings, **shape, "data": data_fingerprint(data)}
        name = f"{type(data).__name__.lower()}cnn"
        digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
        path = cache / f"{name}-{digest}.pt"
        devices = [device] if device.type == "cuda" else []
        # fork_rng: a training run that computes scores must go on with the random numbers that it would have had
        with torch.random.fork_rng(devices), torch.enable_grad():
            network = WithHead(data.channels, data.image_size, data.classes, self.features)
            accuracy = restored(network, path)
            if accuracy is None:
                network, accuracy = self.learn(data, device)
                write_to_cache({"network": network.state_dict(), "accuracy": accuracy, "made": key}, path)
        # `about` is part of the scores' protocol: with other words, earlier scores would no longer compare
        about = {"accuracy": accuracy, "accuracy_of": f"1 in {HELD_OUT} of its data, which it did not learn from"}
        module = WithFeatures(network.to(device))
        return Extractor(name, module, self.features, classes=data.class_names, named=True, about=about)

    def learn(self, data: Dataset, device: torch.device) -> tuple[WithHead, float]:
        """A trained network, and its accuracy on the held-out pictures, from 0 to 1."""
        order = torch.randperm(len(data), generator=generator(self.seed, Purpose.FEATURE_SPLIT))
        training, held_out = order[len(data) // HELD_OUT :], order[: len(data) // HELD_OUT]
        batch = min(self.training["batch_size"], len(training))
        node = {"_target_": "ganrun.evaluation.features.default.WithHead", "features": self.features}
        node |= {"channels": data.channels, "image_size": list(data.image_size), "classes": data.classes}
        config = {**self.training, "batch_size": batch, "classifier": node, "transforms": {}}
        print(f"ganrun: note: features: a classifier learns from {len(training)} pictures, once", file=sys.stderr)
        network = trained(config, ALONE, part(data, training), self.seed, device)
        assert isinstance(network, WithHead)
        return network, tested(network, part(data, held_out), device)


class WithHead(nn.Module):
    """A `ConvClassifier` with `features` outputs, then ReLU and a linear layer to the logits of the classes."""

    def __init__(self, channels: int, image_size: int | list[int] | tuple[int, int], classes: int, features: int):
        super().__init__()
        self.trunk = nn.Sequential(ConvClassifier(channels, image_size, features), nn.ReLU())
        self.head = nn.Linear(features, classes)

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) images in [-1, 1] -> (N, classes) logits."""
        return self.head(self.trunk(images))


class WithFeatures(nn.Module):
    """A `WithHead` that returns its features and its logits."""

    def __init__(self, network: WithHead) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(N, C, H, W) images in [-1, 1] -> (N, F) features, (N, K) logits."""
        features = self.network.trunk(images)
        return features, self.network.head(features)


def part(data: Dataset, indices: Tensor) -> Dataset:
    """The pictures and labels at (n,) `indices`, as a data set on the CPU."""
    batch = {name: each.cpu() for name, each in data.take(indices.to(data.device)).items()}
    return Dataset(batch["image"], batch["label"], data.class_names)


def restored(network: nn.Module, path: Path) -> float | None:
    """Loads the weights in the file at `path` into `network` and returns its stored accuracy.

    None when there is no such file or it is not valid: the network is then trained again.
    """
    try:
        state = checkpoint.load(path)
        network.load_state_dict(state["network"])
        return float(state["accuracy"])
    except (CheckpointError, RuntimeError, KeyError, TypeError, ValueError, AttributeError):
        return None


def write_to_cache(state: dict[str, Any], path: Path) -> None:
    """Raises UserError when the file cannot be written."""
    try:
        make_folder(path.parent)
        checkpoint.save(state, path)
    except OSError as error:
        raise UserError(f"cache={path.parent} cannot be written: {error.strerror or error}; cache=FOLDER") from None
