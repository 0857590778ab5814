"""Trains a classifier on real, drawn or mixed pictures and measures its accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganrun.augmentations.augmentation import Augmentation
from ganrun.common.schedules import Cosine
from ganrun.common.seeding import Purpose, reseed
from ganrun.common.types import Config
from ganrun.config.build import build
from ganrun.data.dataset import Dataset
from ganrun.data.loading.stream import Stream, prepare

TESTED = 500  # pictures in a batch of the test


class Arm(NamedTuple):
    """One way of training a classifier."""

    name: str
    real: bool  # whether it learns from real pictures
    ratio: float  # synthetic pictures for each real one
    classic: bool  # whether the classic augmentations in `transforms` are used


ALONE = Arm("scores", real=True, ratio=0, classic=False)


def transforms_of(config: Config) -> list[Augmentation]:
    """The augmentations in the node `transforms`, in order; an entry that is null is left out."""
    return [
        build(node, Augmentation, f"transforms.{name}")
        for name, node in config["transforms"].items()
        if node is not None
    ]


def classifier_of(config: Config, seed: int, device: torch.device) -> nn.Module:
    """A new classifier, whose initial weights depend only on the seed. It reseeds torch's random state."""
    reseed(seed, Purpose.CLASSIFIER_WEIGHTS)
    return build(config["classifier"], nn.Module, "classifier").to(device)


def trained(config: Config, arm: Arm, data: Dataset, seed: int, device: torch.device) -> nn.Module:
    """A classifier, trained on `data` with Adam and a cosine schedule.

    config: classifier, transforms, steps, batch_size and lr (learning rate).
    Raises FloatingPointError when the loss of the last step is not finite.
    """
    network, stream = classifier_of(config, seed, device).train(), Stream(data, config["batch_size"], seed)
    transforms = transforms_of(config) if arm.classic else []
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    optimizer = torch.optim.Adam(weights, lr=config["lr"], fused=True)
    schedule, loss = Cosine(), torch.zeros(())
    for step in range(config["steps"]):
        for group in optimizer.param_groups:
            group["lr"] = config["lr"] * schedule.factor(step / config["steps"])
        batch = prepare(stream[step], device)
        loss = F.cross_entropy(network(changed(batch["image"], transforms).contiguous()), batch["label"])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    if not loss.isfinite():
        raise FloatingPointError(f"{arm.name}, seed {seed}: the loss is {loss.item()}: try a lower lr={config['lr']}")
    return network


def changed(images: Tensor, transforms: Sequence[Augmentation]) -> Tensor:
    """(N, C, H, W) images in [-1, 1] -> (N, C, H, W), transformed. Pixels from outside of the image are black."""
    if not transforms:
        return images
    images = images + 1  # the transforms fill with 0, which is mid-grey in [-1, 1] and black in [0, 2]
    for transform in transforms:
        images = transform(images)
    return images - 1


@torch.inference_mode()
def tested(network: nn.Module, test: Dataset, device: torch.device) -> float:
    """The accuracy on the test pictures, from 0 to 1."""
    network.eval()
    right = 0
    for indices in torch.arange(len(test)).split(TESTED):
        batch = prepare(test.take(indices), device)
        right += int((network(batch["image"].contiguous()).argmax(1) == batch["label"]).sum())
    return right / len(test)
