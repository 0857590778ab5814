"""Ranks: 2 and 4 gloo processes with a share of the batch each, against one process with all of it, in float64.

python benchmarks/ranks_equal.py [--ranks 2 4] [--steps 10]

Noise is drawn for the whole batch and each rank takes its rows, so that both compute the same. Prints the largest
relative error of gradients and weights, and that of the gradients before they were exchanged: what a trainer without
exchange would have used.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ganrun.common.distributed import World
from ganrun.common.schedules import Constant
from ganrun.data.loading.stream import Stream
from ganrun.losses.adversarial import Hinge, LeastSquares, NonSaturating, Wasserstein
from ganrun.losses.loss import AdversarialLoss
from ganrun.losses.penalties import R1, R2, GradientPenalty
from ganrun.losses.relativistic import RelativisticLogistic
from ganrun.networks.latents import Normal
from ganrun.networks.patch import PatchDiscriminator
from ganrun.networks.patch_nce import PatchHeads
from ganrun.networks.r3gan import R3GANDiscriminator, R3GANGenerator
from ganrun.networks.resnet import ResNetTranslator
from ganrun.networks.resnet_gan import ResNetDiscriminator, ResNetGenerator
from ganrun.networks.stylegan2 import StyleGAN2Discriminator, StyleGAN2Generator
from ganrun.networks.synced import synchronise_
from ganrun.systems.cut import CUT
from ganrun.systems.gan import GAN
from ganrun.systems.stylegan2 import StyleGAN2
from ganrun.systems.system import System
from ganrun.training.ema import Average
from ganrun.training.length import Length
from ganrun.training.trainer import Trainer

BATCH, PIXELS, LATENT = 16, 16, 4
RANDN = torch.randn
LOSSES: dict[str, Callable[[], AdversarialLoss]] = {
    "WGAN-GP": lambda: Wasserstein(penalties=[GradientPenalty()], clip=None, discriminator_steps=2),
    "R1": lambda: NonSaturating(penalties=[R1(gamma=1.0, every=2)]),
}
NORMS = ("none", "per_rank", "synchronised")
SIDE, CLASSES = 8, 3
# networks that have something of their own to share: class-conditional BatchNorm and power iterations, pairs of logits
# with two penalties, noise in each layer, patches of each image
NETWORKS: dict[str, Callable[[], System]] = {
    "sngan": lambda: GAN(
        ResNetGenerator(LATENT, 1, SIDE, 1, CLASSES),
        ResNetDiscriminator(1, SIDE, 1, CLASSES),
        Normal(LATENT),
        Hinge(),
        classes=CLASSES,
    ),
    "r3gan": lambda: GAN(
        R3GANGenerator(LATENT, 1, SIDE, 4, 1, label_size=2, classes=CLASSES),
        R3GANDiscriminator(1, SIDE, 4, 1, classes=CLASSES),
        Normal(LATENT),
        RelativisticLogistic(penalties=[R1(0.05), R2(0.05)]),
        classes=CLASSES,
    ),
    "stylegan2": lambda: StyleGAN2(
        StyleGAN2Generator(LATENT, 1, SIDE, 4, style_size=4, mapping_layers=1),
        StyleGAN2Discriminator(1, SIDE, 4, minibatch="none"),
        Normal(LATENT),
        NonSaturating(penalties=[R1(1.0, every=2)]),
        style_mixing=0,
    ),
    "cut": lambda: CUT(
        ResNetTranslator(1, SIDE, 2, blocks=1),
        PatchDiscriminator(1, SIDE, 2, norm="instance"),
        PatchHeads(4),
        LeastSquares(),
        patches=8,
        flip_equivariance=True,
    ),
}
CASES = [(loss, norm) for loss in LOSSES for norm in NORMS] + [(name, "synchronised") for name in NETWORKS]


class Points:
    """64 images of so many pixels a side, already floats, of three classes."""

    labels = torch.arange(64) % CLASSES

    def __init__(self, side: int) -> None:
        own = torch.Generator().manual_seed(0)
        self.images = torch.empty(64, 1, side, side, dtype=torch.float64).uniform_(-1, 1, generator=own)

    device, workers, pinned, plain = torch.device("cpu"), None, False, True

    def __len__(self) -> int:
        return len(self.images)

    def take(self, indices: Tensor) -> dict[str, Tensor]:
        images = self.images[indices]
        return {"image": images, "label": self.labels[indices], "a": images, "b": -images}

    def transform(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        return batch


class Watched(World):
    """Keeps the gradients of each turn, before and after the exchange."""

    def __init__(self, rank: int, size: int) -> None:
        super().__init__(rank, size)
        self.local: list[list[Tensor]] = []
        self.shared: list[list[Tensor]] = []

    def average_gradients(self, weights: Any) -> None:
        self.local.append([weight.grad.clone() for weight in weights if weight.grad is not None])
        super().average_gradients(weights)
        self.shared.append([weight.grad.clone() for weight in weights if weight.grad is not None])


@contextlib.contextmanager
def noise_of_the_whole_batch(rank: int, size: int) -> Iterator[None]:
    """Within the block torch draws for all ranks, and each takes its own rows; what asks for floats gets doubles."""
    before, own = (torch.rand, torch.randn, Tensor.float), torch.Generator().manual_seed(1)

    def drawn(draw: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def rows(*shape: Any, device: Any = None) -> Tensor:
            count, *rest = shape[0] if isinstance(shape[0], tuple) else shape
            return draw(size * count, *rest, generator=own).chunk(size)[rank]

        return rows

    torch.rand, torch.randn = drawn(before[0]), drawn(before[1])  # type: ignore[assignment]
    Tensor.float = Tensor.double  # type: ignore[method-assign]
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.rand, torch.randn, Tensor.float = before  # type: ignore[method-assign]
        torch.set_default_dtype(torch.float32)


def system_of(case: str, norm: str) -> System:
    if case in NETWORKS:
        with patch.object(torch, "randn", RANDN):  # all ranks start with the same weights
            system = NETWORKS[case]()
        for weight in system.parameters():  # none of them 0, or nothing before it would learn
            nn.init.normal_(weight, 0, 0.3)
        return system
    # a bias before BatchNorm has no gradient but rounding, which Adam would make large
    first = nn.Linear(LATENT, 8, bias=norm == "none")
    middle = [nn.Identity() if norm == "none" else nn.BatchNorm1d(8), nn.ReLU()]
    generator = nn.Sequential(first, *middle, nn.Linear(8, PIXELS), nn.Tanh(), nn.Unflatten(1, (1, 4, 4)))
    discriminator = nn.Sequential(nn.Flatten(), nn.Linear(PIXELS, 8), nn.LeakyReLU(0.2), nn.Linear(8, 1), nn.Flatten(0))
    return GAN(generator, discriminator, Normal(LATENT), LOSSES[case]())


def trainer_of(case: str, norm: str, world: World, steps: int, accumulate: int = 1) -> Trainer:
    torch.manual_seed(0)
    system = system_of(case, norm)
    if norm == "synchronised" and world.size > 1:
        synchronise_(system)
    # Adam would make large what rounding leaves of a gradient of 0: that of a bias before BatchNorm
    make = torch.optim.SGD if case in NETWORKS else torch.optim.Adam
    optimizers = {name: make(module.parameters(), lr=0.01) for name, module in system.players().items()}
    stream = Stream(Points(SIDE if case in NETWORKS else 4), BATCH, 0, world.rank, world.size)
    average = Average(system.ema_module(), 0.01, BATCH)
    schedules = {name: Constant() for name in optimizers}
    return Trainer(
        system, stream, optimizers, schedules, average, Length(steps=steps), log_every=2, world=world,
        accumulate=accumulate,
    )  # fmt: skip


def play(rank: int, size: int, steps: int) -> dict[tuple[str, str], dict[str, Any]]:
    """Every case: gradients of each turn, and the state at the end."""
    found = {}
    for loss, norm in CASES:
        with noise_of_the_whole_batch(rank, size):
            world = Watched(rank, size)
            trainer = trainer_of(loss, norm, world, steps)
            trainer.fit()
        if world.wishes is not None:
            world.wishes[1].wait()
        found[loss, norm] = {"local": world.local, "shared": world.shared, "state": trainer.state_dict()}
    return found


def as_rank(rank: int, size: int, steps: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=size)
    torch.save(play(rank, size, steps), Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()


def in_processes(size: int, steps: int) -> list[dict[tuple[str, str], dict[str, Any]]]:
    """What each of so many processes found."""
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(as_rank, (size, steps, folder), nprocs=size)
        return [torch.load(Path(folder) / f"{rank}.pt", weights_only=True) for rank in range(size)]


def error(found: list[Tensor], wanted: list[Tensor]) -> float:
    """The largest difference of any number over the largest number of its tensor."""
    pairs = zip(found, wanted, strict=True)
    return max(((a - b).abs().max() / b.abs().max().clamp_min(1e-30)).item() for a, b in pairs if b.abs().max() > 1e-12)


def worst(found: list[list[Tensor]], wanted: list[list[Tensor]]) -> float:
    return max(error(a, b) for a, b in zip(found, wanted, strict=True))


def floats(state: dict[str, Any]) -> list[Tensor]:
    return [tensor for tensor in (*state["system"].values(), *state["average"].values()) if tensor.is_floating_point()]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ranks", type=int, nargs="+", default=[2, 4])
    parser.add_argument("--steps", type=int, default=10)
    args = parser.parse_args()
    alone = play(0, 1, args.steps)
    print(f"{'ranks':<7}{'game':<11}{'BatchNorm in G':<16}{'gradients':>11}{'weights':>11}{'not exchanged':>15}")
    failed = False
    for size in args.ranks:
        ranks = in_processes(size, args.steps)
        for loss, norm in CASES:
            one, of_all = alone[loss, norm], [found[loss, norm] for found in ranks]
            gradients = max(worst(each["shared"], one["shared"]) for each in of_all)
            weights = max(error(floats(each["state"]), floats(one["state"])) for each in of_all)
            local = min(worst(each["local"], one["shared"]) for each in of_all)
            print(f"{size:<7}{loss:<11}{norm:<16}{gradients:>11.1e}{weights:>11.1e}{local:>15.1e}")
            failed |= norm != "per_rank" and max(gradients, weights) > 1e-9
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())
