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
CIFAR = "dataset=cifar10 model.size=paper"
IMAGENET = "dataset.channels=3 dataset.classes=1000 dataset.image_size"
OF_A_COPY = "public D of a copy that has 1,000 more at 128 pixels too, where the authors' own has 87,982,370"
PAIR = ("generator", "discriminator")
REAL_SR = f"model=real_sr model.network=rrdb {AT_256}"
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
        f"model=cut {AT_256}",
        ("generator", "discriminator", "heads"),
        (11_378_179, 2_764_737, 560_384),
        (11_383_427, 2_765_633, 560_384),
        "instance norm with a scale and a shift for each channel, in place of the bias of the convolution before it",
    ),
    Count(
        "experiment=cifar10_stylegan2",
        PAIR,
        (20_215_315, 23_089_664),
        (20_215_315, 23_089_664),
    ),
    Count(
        f"model=wgan_gp_resnet {CIFAR}",
        PAIR,
        (4_276_739, 1_055_879),
        (4_276_739, 1_053_825),
        "no BatchNorm in D, which the method forbids; the public run has eight of 128 channels and one of 3: 2,054",
    ),
    Count(f"model=sngan {CIFAR}", PAIR, (4_304_387, 1_055_105), (4_304_387, 1_055_105)),
    Count(f"model=sagan {CIFAR}", PAIR, (4_386_308, 1_075_586), (4_386_308, 1_075_586)),
    Count(f"model=biggan {CIFAR}", PAIR, (9_416_196, 2_415_170), (9_416_196, 2_415_170)),
    Count(f"model=biggan {IMAGENET}=128", PAIR, (70_433_988, 87_982_370), (70_433_988, 87_982_370)),
    Count(
        f"model=biggan {IMAGENET}=64 model.latent.size=120",
        PAIR,
        (70_377_348, 45_512_970),
        (70_377_348, 45_511_970),
        OF_A_COPY,
    ),
    Count(
        f"model=biggan {IMAGENET}=256 model.latent.size=119 model.generator.attention=64",
        PAIR,
        (82_108_548, 99_226_890),
        (82_108_548, 99_225_890),
        OF_A_COPY,
    ),
    Count(f"model=r3gan {CIFAR} model.classes=0", PAIR, (20_732_160, 20_683_776), (20_732_160, 20_683_776)),
    Count(f"{REAL_SR} dataset.damages.low_res.factor=4", ("generator",), (16_697_987,), (16_697_987,)),
    Count(REAL_SR, ("generator",), (16_703_171,), (16_703_171,)),
    Count(f"model=r3gan {CIFAR}", PAIR, (20_781_952, 21_280_512), (20_781_952, 21_280_512)),
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
