"""What each of the step's switches gives on a CPU: ganrun's own step with one of them taken away.

python benchmarks/switches.py --data ../shared/data [--rounds 5] [--seconds 2]

One thread, real MNIST, CPU seconds, rounds interleaved, medians of paired ratios [min .. max]; above 1 the switch pays.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F

from ganrun.cli.composition import compose_plain
from ganrun.common import device
from ganrun.networks.doubling import DoublingConv2d
from ganrun.training import runs
from ganrun.training.trainer import Trainer

CASES = {
    "mlp28": ["model=mlp"],
    "dcgan28": ["model=dcgan_course", "batch_size=32"],
    "dcgan32": ["model=dcgan", "dataset.image_size=32"],
}
Switch = Callable[[Trainer], None]


def without_onednn(trainer: Trainer) -> None:
    torch.backends.mkldnn.matmul.fp32_precision = "ieee"  # type: ignore[attr-defined]


def in_torchs_layout(trainer: Trainer) -> None:
    if "prepare_batch" in vars(trainer):
        return
    trainer.system.to(memory_format=torch.contiguous_format)
    prepare = trainer.prepare_batch
    trainer.prepare_batch = lambda batch: {name: t.contiguous() for name, t in prepare(batch).items()}  # type: ignore[method-assign]


def upsampling_first(trainer: Trainer) -> None:
    for module in trainer.system.modules():
        if isinstance(module, DoublingConv2d):
            module.forward = lambda images, m=module: F.conv2d(  # type: ignore[method-assign,misc]
                F.interpolate(images, scale_factor=2), m.weight, m.bias, padding=1
            )


def unfused(trainer: Trainer) -> None:
    for optimizer in trainer.optimizers.values():
        for group in optimizer.param_groups:
            group["fused"] = False


TAKEN_AWAY: dict[str, Switch] = {
    "oneDNN for float32 products": without_onednn,
    "channels last": in_torchs_layout,
    "upsampling inside the convolution": upsampling_first,
    "fused Adam": unfused,
}


class Side:
    """A trainer that goes on in slices."""

    def __init__(self, case: str, data: str, switch: Switch | None) -> None:
        words = [
            "dataset=mnist",
            f"dataset.root={data}",
            *CASES[case],
            "device=cpu",
            "hooks=quiet",
            "threads=1",
            "precision=fp32",
        ]
        self.config = compose_plain("train", [*words, "steps=1000000000"])
        self.trainer = runs.assemble(self.config, Path(tempfile.mkdtemp()))
        self.trainer.hooks, self.switch = [], switch

    def slice(self, seconds: float) -> float:
        """CPU seconds a step."""
        runs.set_precision("fp32", torch.device("cpu"))
        if self.switch:
            self.switch(self.trainer)
        steps, start = 0, time.process_time()
        while time.process_time() - start < seconds:
            steps += 5
            self.trainer.length.steps = self.trainer.step + 5
            self.trainer.fit()
        return (time.process_time() - start) / steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="../shared/data")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    args = parser.parse_args()
    device.set_threads(1)
    print("| case | CPU ms/step | " + " | ".join(TAKEN_AWAY) + " |")
    print("|---|---:|" + "---:|" * len(TAKEN_AWAY))
    for case in CASES:
        sides = {name: Side(case, args.data, switch) for name, switch in {"all": None, **TAKEN_AWAY}.items()}
        times: dict[str, list[float]] = {name: [] for name in sides}
        for side in sides.values():
            side.slice(0.2)
        for _ in range(args.rounds):
            for name, side in sides.items():
                times[name].append(side.slice(args.seconds))
        cells = [case, f"{1e3 * statistics.median(times['all']):.1f}"]
        for name in TAKEN_AWAY:
            ratios = [without / with_all for without, with_all in zip(times[name], times["all"], strict=True)]
            cells.append(f"{statistics.median(ratios):.2f} [{min(ratios):.2f} .. {max(ratios):.2f}]")
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
