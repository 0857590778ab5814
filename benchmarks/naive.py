"""The usual tutorial loop on MNIST: what a recipe of ganrun has to beat with the same networks.

python benchmarks/naive.py --case dcgan28 --images 179000 --samples out.npz [--bf16]

BCE, real and fake through the discriminator apart, plain Adam, no schedule, no weight average. Only the reading of
the data is not the tutorial's: it lies in memory, because the question here is quality and not speed.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from judge import mnist, scaled
from torch import Tensor, nn

LATENTS = 100


@dataclass(frozen=True)
class Case:
    """One tutorial: its two networks with their trainable parameters, and its settings."""

    generator: nn.Module
    discriminator: nn.Module
    parameters: tuple[int, int]
    batch: int
    betas: tuple[float, float]


def mlp28() -> Case:
    """The MLP GAN of the first tutorial (Goodfellow et al., 2014)."""
    generator = nn.Sequential(
        nn.Linear(LATENTS, 256),
        nn.ReLU(),
        nn.Linear(256, 512),
        nn.ReLU(),
        nn.Linear(512, 1024),
        nn.ReLU(),
        nn.Linear(1024, 784),
        nn.Tanh(),
        nn.Unflatten(1, (1, 28, 28)),
    )
    discriminator = nn.Sequential(
        nn.Flatten(),
        nn.Linear(784, 512),
        nn.LeakyReLU(0.2),
        nn.Linear(512, 256),
        nn.LeakyReLU(0.2),
        nn.Linear(256, 1),
    )
    return Case(generator, discriminator, (1_486_352, 533_505), batch=64, betas=(0.9, 0.999))


def dcgan28() -> Case:
    """The course's Keras DCGAN; Keras' momentum 0.8 is PyTorch's 0.2."""

    def norm(channels: int) -> nn.Module:
        return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.2)

    def leaky() -> list[nn.Module]:
        return [nn.LeakyReLU(0.2), nn.Dropout(0.25)]

    def halve(inputs: int, outputs: int) -> list[nn.Module]:
        """Keras' "same" with stride 2 pads on the right and at the bottom only."""
        return [nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(inputs, outputs, 3, stride=2)]

    generator = nn.Sequential(
        nn.Linear(LATENTS, 128 * 7 * 7),
        nn.ReLU(),
        nn.Unflatten(1, (128, 7, 7)),
        nn.Upsample(scale_factor=2),
        nn.Conv2d(128, 128, 3, padding=1),
        norm(128),
        nn.ReLU(),
        nn.Upsample(scale_factor=2),
        nn.Conv2d(128, 64, 3, padding=1),
        norm(64),
        nn.ReLU(),
        nn.Conv2d(64, 1, 3, padding=1),
        nn.Tanh(),
    )
    discriminator = nn.Sequential(
        *halve(1, 32),  # (N, 32, 14, 14)
        *leaky(),
        *halve(32, 64),  # (N, 64, 7, 7)
        nn.ZeroPad2d((0, 1, 0, 1)),
        norm(64),
        *leaky(),
        *halve(64, 128),  # (N, 128, 4, 4)
        norm(128),
        *leaky(),
        nn.Conv2d(128, 256, 3, padding=1),
        norm(256),
        *leaky(),
        nn.Flatten(),
        nn.Linear(256 * 4 * 4, 1),
    )
    return Case(generator, discriminator, (855_809, 392_833), batch=32, betas=(0.5, 0.999))


CASES = {"mlp28": mlp28, "dcgan28": dcgan28}


def check(case: Case) -> None:
    """The comparison is void unless the networks are the tutorial's."""
    for player, expected in zip((case.generator, case.discriminator), case.parameters, strict=True):
        count = sum(weight.numel() for weight in player.parameters() if weight.requires_grad)
        assert count == expected, f"{count:,} trainable parameters, the tutorial's network has {expected:,}"


def batches(images: Tensor, size: int) -> Iterator[Tensor]:
    """Shuffled epochs without end; the rest of an epoch is dropped."""
    while True:
        for picked in torch.randperm(len(images)).split(size)[: len(images) // size]:
            yield scaled(images[picked])


def train(case: Case, images: Tensor, steps: int, bf16: bool) -> None:
    """One update of the discriminator and one of the generator a step, as in the tutorials."""
    generator, discriminator = case.generator, case.discriminator
    d_adam = torch.optim.Adam(discriminator.parameters(), 2e-4, case.betas)
    g_adam = torch.optim.Adam(generator.parameters(), 2e-4, case.betas)
    bce = nn.BCEWithLogitsLoss()
    yes, no = torch.ones(case.batch, 1), torch.zeros(case.batch, 1)

    def score(pictures: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            return discriminator(pictures).float()

    for step, real in zip(range(1, steps + 1), batches(images, case.batch), strict=False):
        d_adam.zero_grad()
        real_loss = bce(score(real), yes)
        real_loss.backward()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            fake = generator(torch.randn(case.batch, LATENTS))
        fake_loss = bce(score(fake.detach()), no)
        fake_loss.backward()
        d_adam.step()

        g_adam.zero_grad()
        g_loss = bce(score(fake), yes)
        g_loss.backward()
        g_adam.step()
        if step % max(1, steps // 20) == 0:
            d_loss = (real_loss + fake_loss).item()
            print(f"{step * case.batch:>9,} images: D {d_loss:.3f}, G {g_loss.item():.3f}", flush=True)


@torch.no_grad()
def draw(generator: nn.Module, count: int, seed: int) -> np.ndarray:
    """uint8 (count, 28, 28, 1), with BatchNorm's running statistics as Keras' `predict` does."""
    generator.eval()
    latents = torch.randn(count, LATENTS, generator=torch.Generator().manual_seed(seed))
    images = torch.cat([generator(part) for part in latents.split(50)])
    return images.add(1).mul(127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).contiguous().numpy()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices=CASES, required=True)
    parser.add_argument("--images", type=int, required=True, help="how many real images the discriminator sees")
    parser.add_argument("--samples", type=Path, required=True, help="the npz for 10,000 drawn images")
    parser.add_argument("--bf16", action="store_true", help="the networks under bfloat16 autocast")
    parser.add_argument("--threads", type=int, default=1, help="%(default)s")
    parser.add_argument("--seed", type=int, default=0, help="%(default)s")
    parser.add_argument("--data", default="../shared/data", help="the folder that holds MNIST/raw (%(default)s)")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    case = CASES[args.case]()
    check(case)
    steps = args.images // case.batch
    if steps < 1:
        raise ValueError(f"--images {args.images} is less than one batch of {case.batch}")
    images, _ = mnist(args.data, train=True)
    cpu, wall = time.process_time(), time.perf_counter()
    train(case, images, steps, args.bf16)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    seen, precision = steps * case.batch, "bf16" if args.bf16 else "fp32"
    args.samples.parent.mkdir(parents=True, exist_ok=True)
    with args.samples.open("wb") as file:  # a path without .npz would get one appended
        np.savez_compressed(file, images=draw(case.generator, 10_000, args.seed), seen=seen, cpu_seconds=cpu)
    print(
        f"{args.case} {precision}, seed {args.seed}: {seen:,} images in {steps:,} steps, "
        f"{cpu:.0f} CPU seconds, {wall:.0f} seconds of wall time, {args.threads} thread(s) -> {args.samples}"
    )


if __name__ == "__main__":
    try:
        main()
    except (OSError, ValueError) as error:
        print(f"naive.py: {error}", file=sys.stderr)
        sys.exit(2)
