"""ganrun's step on a GPU against a tutorial's loop and against a hand-written CUDA graph, in one run.

python benchmarks/gpu.py [--cases dcgan64,dcgan32,wgan_gp32,mlp28] [--rounds 5] [--seconds 0.7] [--json out.json]
python benchmarks/gpu.py --tiny          # on a CPU: every path that a CPU has, with small networks

Each case: the same networks in all rows (ganrun's own), random uint8 images, Adam 2e-4 (.5, .999). "naive" keeps the
data on the CPU, reads both losses each step, computes everybody's gradients and knows none of the switches. "by hand"
is the whole step in one CUDA graph, written for that case alone. Rounds are interleaved, medians [min..max].
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ganrun.cli.composition import compose_plain
from ganrun.common import device
from ganrun.common.precision import set_precision
from ganrun.config import builders
from ganrun.data.dataset import Dataset
from ganrun.training import runs
from ganrun.training.trainer import Trainer

CUDA = torch.cuda.is_available()
DEVICE = torch.device("cuda" if CUDA else "cpu")
CASES = {  # words of ganrun, channels, pixels, discriminator steps
    "dcgan64": (["model=dcgan"], 3, 64, 1),
    "dcgan32": (["model=dcgan"], 3, 32, 1),
    "wgan_gp32": (["model=dcgan", "loss=wgan_gp"], 3, 32, 5),
    "mlp28": (["model=mlp"], 1, 28, 1),
}
Step = Callable[[], None]


class Noise(Dataset):
    """Random images: nobody looks at them."""

    def __init__(self, count: int, channels: int, size: int) -> None:
        images = torch.randint(0, 256, (count, channels, size, size), dtype=torch.uint8)
        super().__init__(images, flip=True)


def config_of(case: str, batch: int, precision: str, graphs: bool) -> dict[str, Any]:
    words, channels, size, _ = CASES[case]
    config = compose_plain(
        "train",
        [
            "dataset=folder",
            *words,
            f"dataset.image_size={size}",
            f"dataset.channels={channels}",
            "dataset.classes=0",
            f"batch_size={batch}",
            f"precision={precision}",
            f"graphs={str(graphs).lower()}",
            "optimizer=adam",
            "hooks=quiet",
            "steps=1000000000",
            "log.every=50",
        ],
    )
    return {**config, "dataset": {"_target_": "Noise", "image_size": size}}


class Ganrun:
    """A trainer as `ganrun train` makes it, stopped after so many steps."""

    def __init__(self, case: str, batch: int, precision: str, graphs: bool, data: Dataset) -> None:
        builders.load_dataset = runs.load_dataset = lambda config, trust=None: data  # type: ignore[assignment]
        self.trainer: Trainer = runs.assemble(config_of(case, batch, precision, graphs), Path(tempfile.mkdtemp()))
        self.trainer.hooks = []
        if self.trainer.recorder:  # what is recorded stays recorded from one slice to the next
            self.player = self.trainer.recorder(self.trainer)
            self.trainer.recorder = lambda trainer: self.player
        self.steps_each, self.precision = CASES[case][3], precision
        self.end = 0

    def run(self, count: int) -> None:
        set_precision(self.precision, DEVICE)
        self.end += count * self.steps_each
        self.trainer.length.steps = self.end
        self.trainer.fit()


class ByHand:
    """The same networks in a loop written for this benchmark: `graph` records it, without it is the tutorial's."""

    def __init__(self, case: str, batch: int, data: Dataset, graph: bool = False, bf16: bool = False) -> None:
        system = builders.build_system(config_of(case, batch, "fp32", False)).to(DEVICE)
        self.G, self.D = copy.deepcopy(system.generator), copy.deepcopy(system.discriminator)
        self.batch, self.graph, self.bf16, self.penalised = batch, graph, bf16, "wgan" in case
        self.turns, self.data = CASES[case][3], data.images.to(DEVICE) if graph else data.images
        settings: dict[str, Any] = {"lr": 2e-4, "betas": (0.5, 0.999)}
        if graph:
            self.G, self.D = (net.to(memory_format=torch.channels_last) for net in (self.G, self.D))
            settings |= {"fused": True, "capturable": CUDA}
        self.optimizer_G = torch.optim.Adam(self.G.parameters(), **settings)
        self.optimizer_D = torch.optim.Adam(self.D.parameters(), **settings)
        self.losses = torch.zeros(2, device=DEVICE)
        self.step: Step = self.play
        self.switches()
        if graph and CUDA:
            self.record()

    def switches(self) -> None:
        torch.backends.cuda.matmul.allow_tf32 = self.graph
        torch.backends.cudnn.allow_tf32 = True  # torch's own default
        torch.backends.cudnn.benchmark = self.graph

    def autocast(self) -> Any:
        return torch.autocast(DEVICE.type, torch.bfloat16) if self.bf16 else contextlib.nullcontext()

    def images(self) -> Tensor:
        if not self.graph:
            chosen = self.data[torch.randint(len(self.data), (self.batch,))]
            return torch.stack([(image.float() / 255 - 0.5) / 0.5 for image in chosen]).to(DEVICE)
        chosen = torch.randint(len(self.data), (self.batch,), device=DEVICE)
        images = self.data[chosen].float().mul_(1 / 127.5).sub_(1)
        mirrored = torch.rand(self.batch, 1, 1, 1, device=DEVICE) < 0.5
        return torch.where(mirrored, images.flip(3), images).contiguous(memory_format=torch.channels_last)

    def noise(self) -> Tensor:
        return torch.randn(self.batch, 100, device=DEVICE)

    def objective_D(self, real: Tensor, fake: Tensor) -> Tensor:
        if not self.penalised:
            return F.softplus(-self.D(real).float()).mean() + F.softplus(self.D(fake).float()).mean()
        scores = self.D(torch.cat([real, fake])).float() if self.graph else None
        of_real, of_fake = scores.chunk(2) if scores is not None else (self.D(real), self.D(fake))
        share = torch.rand(self.batch, 1, 1, 1, device=DEVICE)
        between = (share * real + (1 - share) * fake).requires_grad_()
        (slope,) = torch.autograd.grad(self.D(between).float().sum(), between, create_graph=True)
        penalty = (slope.flatten(1).norm(2, 1) - 1).square().mean()
        return of_fake.mean() - of_real.mean() + 10 * penalty

    def play(self) -> None:
        for _ in range(self.turns):
            real = self.images()
            self.optimizer_D.zero_grad(set_to_none=True)
            with self.autocast():
                # the tutorial makes the fakes with a graph in every turn, and so does who shares them
                with torch.set_grad_enabled(not (self.graph and self.penalised)):
                    fake = self.G(self.noise()).float()
                loss_D = self.objective_D(real, fake.detach())
            loss_D.backward()
            self.optimizer_D.step()
        self.optimizer_G.zero_grad(set_to_none=True)
        self.D.requires_grad_(not self.graph)
        with self.autocast():
            fake = self.G(self.noise()) if self.penalised else fake
            scores = self.D(fake).float()
            loss_G = -scores.mean() if self.penalised else F.softplus(-scores).mean()
        loss_G.backward()
        self.D.requires_grad_(True)
        self.optimizer_G.step()
        if self.graph:
            self.losses.copy_(torch.stack([loss_D.detach(), loss_G.detach()]))
        else:
            self.read = loss_D.item(), loss_G.item()

    def record(self) -> None:
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                self.play()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self.play()
        self.step = graph.replay

    def run(self, count: int) -> None:
        self.switches()
        for _ in range(count):
            self.step()


def rows(case: str, batch: int, data: Dataset) -> dict[str, Any]:
    return {
        "naive": ByHand(case, batch, data),
        "by hand, graph, tf32": ByHand(case, batch, data, graph=True),
        "by hand, graph, bf16": ByHand(case, batch, data, graph=True, bf16=True),
        "ganrun, no graphs, tf32": Ganrun(case, batch, "tf32", False, data),
        "ganrun, tf32": Ganrun(case, batch, "tf32", True, data),
        "ganrun, bf16": Ganrun(case, batch, "bf16", True, data),
    }


def synchronize() -> None:
    if CUDA:
        torch.cuda.synchronize()


def timed(row: Any, count: int) -> float:
    """Milliseconds for each of so many steps."""
    synchronize()
    start = time.perf_counter()
    row.run(count)
    synchronize()
    return (time.perf_counter() - start) / count * 1e3


def measure(case: str, options: argparse.Namespace) -> dict[str, list[float]]:
    _, channels, size, _ = CASES[case]
    found: dict[str, Any] = rows(case, options.batch, Noise(256 if options.tiny else 20000, channels, size))
    counts = {}
    for name, row in found.items():
        if isinstance(row, Ganrun):
            device.set_threads(None)
        row.run(2 if options.tiny else 160)  # past the recordings, and past the first logs
        counts[name] = max(2, int(options.seconds * 1e3 / timed(row, 2 if options.tiny else 20)))
    results: dict[str, list[float]] = {name: [] for name in found}
    for number in range(options.rounds):
        order = list(found)
        random.Random(number).shuffle(order)
        for name in order:
            results[name].append(timed(found[name], counts[name]))
    return results


def table(case: str, results: dict[str, list[float]], batch: int) -> list[str]:
    steps = CASES[case][3]
    lines = [f"\n{case}, {steps} discriminator and 1 generator turn", "", "| | ms | images/s | × naive | × by hand |"]
    lines.append("|---|---|---|---|---|")
    for name, times in results.items():
        middle = statistics.median(times)
        naive = statistics.median(a / b for a, b in zip(results["naive"], times, strict=True))
        like = f"by hand, graph, {'bf16' if 'bf16' in name else 'tf32'}"
        hand = statistics.median(a / b for a, b in zip(results[like], times, strict=True))
        lines.append(
            f"| {name} | {middle:.3f} [{min(times):.3f}..{max(times):.3f}] | {batch * steps / middle * 1e3:,.0f} | "
            f"{naive:.2f} | {hand:.2f} |"
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.7)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--json")
    parser.add_argument("--tiny", action="store_true")
    options = parser.parse_args()
    if options.tiny:
        options.batch, options.rounds, options.seconds = 8, 2, 0.05
    print(f"torch {torch.__version__}, {torch.cuda.get_device_name() if CUDA else 'CPU'}, batch {options.batch}")
    found = {}
    for case in options.cases.split(","):
        found[case] = measure(case, options)
        print("\n".join(table(case, found[case], options.batch)), flush=True)
    if options.json:
        Path(options.json).write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
