"""Parameters of the papers' networks against counts that the public can check, exactly or with the layer named.

The public counts are those of the authors' networks, or of a training log (see `docs/models.md`).
"""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from torch import nn

from ganrun.cli import composition
from ganrun.config import builders


class Count(NamedTuple):
    """The line that makes the model, the parts that count, public and own numbers, and why they differ."""

    words: str
    parts: tuple[str, ...]
    public: tuple[int, ...]
    ours: tuple[int, ...]
    why: str = ""


AT_256 = "dataset.image_size=256 dataset.channels=3"
CIFAR_10 = "dataset.image_size=32 dataset.channels=3 dataset.classes=10"
COUNTS = [
    Count(
        f"model=pix2pix {AT_256}",
        ("generator", "discriminator"),
        (54_413_955, 2_768_705),
        (54_414_531, 2_768_705),
        "a bias in the first and in the innermost convolution of the way down, which no norm follows: 64 + 512",
    ),
    Count(
        f"model=cyclegan {AT_256}",
        ("generators.ab", "discriminators.a"),
        (11_378_179, 2_764_737),
        (11_383_427, 2_765_633),
        "instance norm with a scale and a shift for each channel, in place of the bias of the convolution before it",
    ),
    Count(
        f"model=r3gan {CIFAR_10} model.size=paper model.classes=0",
        ("generator", "discriminator"),
        (20_732_160, 20_683_776),
        (20_732_160, 20_683_776),
    ),
    Count(
        f"model=r3gan {CIFAR_10} model.size=paper",
        ("generator", "discriminator"),
        (20_781_952, 21_280_512),
        (20_781_952, 21_280_512),
    ),
]


def parameters(network: nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters())


@pytest.mark.parametrize("count", COUNTS, ids=lambda count: count.words)
def test_the_papers_network_has_the_public_number_of_parameters(count: Count) -> None:
    config = composition.compose_plain("train", count.words.split())
    with torch.device("meta"):
        system = builders.build_system(config)
    assert tuple(parameters(system.get_submodule(part)) for part in count.parts) == count.ours
    assert (count.public != count.ours) == bool(count.why), "the layer that differs is named"
