"""ganrun train against the usual tutorial loop, end to end, on real MNIST: the same networks, batch and mathematics.

python benchmarks/speed.py --data DATA --json speed.json          all cases, fp32 and bf16, 5 rounds: about an hour
python benchmarks/speed.py --data DATA --cases mlp28 dcgan28 --rounds 3
python benchmarks/speed.py --data DATA --quick                    does it work at all

Each figure is (long run - short run) / (steps between): imports, reading of the data and the last checkpoint cancel
out. The lengths are chosen so that no grid falls between them. Within a round the loops run one after another in random
order, and ratios are taken within rounds. CPU seconds are of the process and its workers: on a busy machine
trust them. One thread each. The naive loop is always float32, with two loader workers, as the tutorials have it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import naive
import torch
from torch import Tensor, nn
from torchvision import datasets, transforms

LATENTS = naive.LATENTS
ROOT = Path(__file__).resolve().parents[1]
Networks = tuple[nn.Module, nn.Module]


def dcgan(size: int, norm: bool = True) -> Networks:
    """DCGAN of 64 channels, 4×4 convolutions with stride 2 (Radford et al., 2016); `norm` is the discriminator's."""
    doublings = {32: 2, 64: 3}[size]
    width = 64 << doublings
    up: list[nn.Module] = [nn.Unflatten(1, (LATENTS, 1, 1)), nn.ConvTranspose2d(LATENTS, width, 4, bias=False)]
    for _ in range(doublings):
        up += [nn.BatchNorm2d(width), nn.ReLU(), nn.ConvTranspose2d(width, width // 2, 4, 2, 1, bias=False)]
        width //= 2
    up += [nn.BatchNorm2d(width), nn.ReLU(), nn.ConvTranspose2d(width, 1, 4, 2, 1), nn.Tanh()]
    down: list[nn.Module] = [nn.Conv2d(1, 64, 4, 2, 1), nn.LeakyReLU(0.2)]
    for _ in range(doublings):
        down += [nn.Conv2d(width, 2 * width, 4, 2, 1, bias=not norm), *[nn.BatchNorm2d(2 * width)] * norm]
        down += [nn.LeakyReLU(0.2)]
        width *= 2
    return nn.Sequential(*up), nn.Sequential(*down, nn.Conv2d(width, 1, 4), nn.Flatten())


def tutorial(name: str) -> Networks:
    """The networks of `naive.py`."""
    case = naive.CASES[name]()
    return case.generator, case.discriminator


@dataclass(frozen=True)
class Case:
    """What both sides play: how ganrun is told, and the naive loop's networks and settings."""

    words: str
    networks: Callable[[], Networks]
    size: int
    batch: int
    lr: float
    betas: tuple[float, float]
    steps: tuple[int, int]  # of the short and of the long run
    penalty: bool = False  # WGAN-GP: five turns of the discriminator for each of the generator


CASES = {
    "mlp28": Case("model=mlp", lambda: tutorial("mlp28"), 28, 64, 2e-4, (0.9, 0.999), (210, 2210)),
    "dcgan28": Case("model=dcgan_course", lambda: tutorial("dcgan28"), 28, 32, 2e-4, (0.5, 0.999), (101, 199)),
    "dcgan32": Case("model=dcgan", lambda: dcgan(32), 32, 64, 2e-4, (0.5, 0.999), (5, 49)),
    "dcgan64": Case("model=dcgan", lambda: dcgan(64), 64, 64, 2e-4, (0.5, 0.999), (5, 35)),
    "wgan_gp_mlp28": Case(
        "model=mlp loss=wgan_gp", lambda: tutorial("mlp28"), 28, 64, 1e-4, (0.0, 0.9), (210, 1210), penalty=True
    ),
    "wgan_gp_dcgan32": Case(
        "model=dcgan loss=wgan_gp", lambda: dcgan(32, norm=False), 32, 64, 1e-4, (0.0, 0.9), (5, 45), penalty=True
    ),
}


# -- the naive side -----------------------------------------------------------------------------------------------


def batches(case: Case, root: str, workers: int) -> Iterator[Tensor]:
    """Each picture through Pillow, ToTensor and Normalize, epoch after epoch."""
    steps = [transforms.Resize(case.size)] if case.size != 28 else []
    steps += [transforms.ToTensor(), transforms.Normalize(0.5, 0.5)]
    data = datasets.MNIST(root, transform=transforms.Compose(steps))
    loader = torch.utils.data.DataLoader(data, case.batch, shuffle=True, drop_last=True, num_workers=workers)
    while True:
        for images, _ in loader:
            yield images


def play(case: Case, steps: int, root: str, workers: int) -> None:
    """The tutorial's loop; what it prints goes where the caller sends it."""
    torch.manual_seed(0)
    generator, discriminator = case.networks()
    d_adam = torch.optim.Adam(discriminator.parameters(), case.lr, case.betas)
    g_adam = torch.optim.Adam(generator.parameters(), case.lr, case.betas)
    step = with_penalty if case.penalty else with_cross_entropy
    for number, real in zip(range(steps), batches(case, root, workers), strict=False):
        said = step(number, real, generator, discriminator, d_adam, g_adam)
        print(number, *(f"{value.item():.4f}" for value in said), flush=True)


def with_cross_entropy(
    number: int,
    real: Tensor,
    generator: nn.Module,
    discriminator: nn.Module,
    d_adam: torch.optim.Optimizer,
    g_adam: torch.optim.Optimizer,
) -> list[Tensor]:
    """One turn of each on the same fakes; reals and fakes are scored apart (Goodfellow et al., 2014)."""
    bce, yes, no = nn.BCEWithLogitsLoss(), torch.ones(len(real), 1), torch.zeros(len(real), 1)
    d_adam.zero_grad()
    real_logits = discriminator(real)
    real_loss = bce(real_logits, yes)
    real_loss.backward()
    fake = generator(torch.randn(len(real), LATENTS))
    fake_logits = discriminator(fake.detach())
    fake_loss = bce(fake_logits, no)
    fake_loss.backward()
    d_adam.step()

    g_adam.zero_grad()
    loss = bce(discriminator(fake), yes)
    loss.backward()
    g_adam.step()
    return [real_loss + fake_loss, loss, real_logits.sigmoid().mean(), fake_logits.sigmoid().mean()]


def with_penalty(
    number: int,
    real: Tensor,
    generator: nn.Module,
    discriminator: nn.Module,
    d_adam: torch.optim.Optimizer,
    g_adam: torch.optim.Optimizer,
) -> list[Tensor]:
    """A turn of the discriminator; at every fifth step one of the generator (Gulrajani et al., 2017, algorithm 1)."""
    d_adam.zero_grad()
    fake = generator(torch.randn(len(real), LATENTS)).detach()
    mix = torch.rand(len(real), 1, 1, 1)
    between = (mix * real + (1 - mix) * fake).requires_grad_()
    logits = discriminator(between)
    (slope,) = torch.autograd.grad(logits, between, torch.ones_like(logits), create_graph=True)
    penalty = 10 * (slope.flatten(1).norm(dim=1) - 1).square().mean()
    gap = discriminator(real).mean() - discriminator(fake).mean()
    (penalty - gap).backward()
    d_adam.step()
    if number % 5 != 4:
        return [gap, penalty]

    g_adam.zero_grad()
    loss = -discriminator(generator(torch.randn(len(real), LATENTS))).mean()
    loss.backward()
    g_adam.step()
    return [gap, penalty, loss]


# -- both sides ---------------------------------------------------------------------------------------------------


class Cost(NamedTuple):
    """Seconds."""

    wall: float
    cpu: float


def require_same_networks(name: str, case: Case) -> None:
    """The comparison is void unless the players have the same weights. Raises ValueError."""
    sys.path.insert(0, str(ROOT))
    from ganrun.cli import composition
    from ganrun.config import builders

    words = [*case.words.split(), "dataset=mnist", f"dataset.image_size={case.size}"]
    config = composition.compose_plain("train", words)
    with torch.device("meta"):
        players = builders.build_system(config).players()
    for player, network in zip(("generator", "discriminator"), case.networks(), strict=True):
        theirs, ours = (
            sorted(tuple(weight.shape) for weight in module.parameters()) for module in (network, players[player])
        )
        if theirs != ours:
            raise ValueError(f"{name}: the {player} of ganrun has weights {ours}, the naive one {theirs}")


def commands(name: str, case: Case, args: argparse.Namespace) -> dict[str, list[str]]:
    """The command line of each side; {steps} and {out} are filled in later."""
    script = [sys.executable, __file__, "--data", args.data, "--workers", str(args.workers), "--loop", name, "{steps}"]
    words = [*case.words.split(), "dataset=mnist", f"dataset.root={Path(args.data).absolute()}"]
    words += [f"dataset.image_size={case.size}", f"batch_size={case.batch}", "device=cpu", "steps={steps}", "out={out}"]
    train = [sys.executable, "-m", "ganrun", "train", *words]
    return {"naive": script, **{precision: [*train, f"precision={precision}"] for precision in args.precisions}}


def run(command: list[str], steps: int) -> Cost:
    """One process from its start to its end, with all that it waited for. Exits where it fails."""
    folder = Path(tempfile.mkdtemp(prefix="ganrun-speed-"))
    words = [word.replace("{steps}", str(steps)).replace("{out}", str(folder / "run")) for word in command]
    with open(folder / "errors", "w+", encoding="utf-8") as errors:
        start = time.perf_counter()
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=errors, env=environment())
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        errors.seek(0)
        said = errors.read()[-2000:]
    shutil.rmtree(folder)
    if process.returncode:
        sys.exit(f"speed.py: {' '.join(words)} ended with {process.returncode}:\n{said}")
    return Cost(wall, used.ru_utime + used.ru_stime)


def environment() -> dict[str, str]:
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


def measure(name: str, args: argparse.Namespace) -> list[dict[str, Cost]]:
    """Seconds a step of each side, in each round."""
    case = CASES[name]
    short, long = args.steps or case.steps
    sides, rounds = commands(name, case, args), []
    for number in range(args.rounds):
        found = {}
        for side in random.Random(number).sample(list(sides), len(sides)):
            less, more = run(sides[side], short), run(sides[side], long)
            found[side] = Cost(*((b - a) / (long - short) for a, b in zip(less, more, strict=True)))
            print(
                f"{name} round {number + 1}/{args.rounds} {side}: {1000 * found[side].wall:.2f} ms a step, "
                f"{1000 * found[side].cpu:.2f} CPU",
                file=sys.stderr,
            )
        rounds.append(found)
    return rounds


def row(name: str, side: str, rounds: list[dict[str, Cost]]) -> str:
    """One line of the table: medians, and ratios paired within rounds with their spread."""
    batch = CASES[name].batch
    wall, cpu = (statistics.median(getattr(one[side], kind) for one in rounds) for kind in Cost._fields)
    cells = [name, side, f"{batch / wall:,.0f}", f"{1000 * wall:.2f}", f"{1000 * cpu:.2f}"]
    for kind in Cost._fields:
        ratios = [getattr(one["naive"], kind) / getattr(one[side], kind) for one in rounds]
        cells.append(f"{statistics.median(ratios):.2f} [{min(ratios):.2f} .. {max(ratios):.2f}]")
    return f"| {' | '.join(cells if side != 'naive' else [*cells[:5], '1', '1'])} |"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="../shared/data", help="the folder that holds MNIST/raw (%(default)s)")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--precisions", nargs="+", choices=("fp32", "bf16", "bf16_all"), default=["fp32", "bf16"])
    parser.add_argument("--rounds", type=int, default=5, help="%(default)s")
    parser.add_argument("--steps", type=int, nargs=2, metavar=("SHORT", "LONG"), help="instead of each case's own")
    parser.add_argument("--workers", type=int, default=2, help="of the naive loop's loader (%(default)s)")
    parser.add_argument("--json", type=Path, help="all rounds, with versions and machine")
    parser.add_argument("--quick", action="store_true", help="one round of 5 and 15 steps")
    parser.add_argument("--loop", nargs=2, help=argparse.SUPPRESS)  # CASE STEPS: the naive side, in its own process
    args = parser.parse_args()
    if args.quick:
        args.rounds, args.steps = 1, (5, 15)
    if args.rounds < 1 or (args.steps and not 0 < args.steps[0] < args.steps[1]):
        parser.error("--rounds must be at least 1, and --steps two numbers from 1 up, the smaller one first")
    return args


def main() -> None:
    args = arguments()
    if args.loop:
        return play(CASES[args.loop[0]], int(args.loop[1]), args.data, args.workers)
    for name in args.cases:
        require_same_networks(name, CASES[name])
    print("| case | loop | images/s | ms/step | CPU ms/step | × naive, wall | × naive, CPU |")
    print("|---|---|---:|---:|---:|---:|---:|")
    measured = {}
    for name in args.cases:
        rounds = measured[name] = measure(name, args)
        for side in ("naive", *args.precisions):
            print(row(name, side, rounds), flush=True)
    if args.json:
        about = {"torch": torch.__version__, "python": platform.python_version(), "load": os.getloadavg()[0]}
        rounds = {name: [{s: c._asdict() for s, c in one.items()} for one in each] for name, each in measured.items()}
        args.json.write_text(json.dumps({**about, "seconds_a_step": rounds}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    try:
        main()
    except (OSError, ValueError) as error:
        print(f"speed.py: {error}", file=sys.stderr)
        sys.exit(2)
