"""The first minute: what a newcomer's two commands show, how long they take, and on which machine.

python benchmarks/first_minute.py OUT [--commands "experiment=digits" ""] [--words threads=1] [--avx2] [--json x.json]

Each is run as a process of its own, then 2,000 samples are named by a classifier that learnt the embedded real digits.
A sample counts as a digit when the classifier gives one class at least 0.9. How much that is worth stands above the
table: what a twin that learnt one half of the digits makes of the other half, which other people wrote.
--avx2 limits torch and oneDNN to AVX2, as CPUs without AVX-512 are.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganrun.data.digits import Digits

CONFIDENT, SAMPLES, STEPS = 0.9, 2000, 1000
AVX2 = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--commands", nargs="*", default=["experiment=digits", ""])
    parser.add_argument("--words", nargs="*", default=[])
    parser.add_argument("--avx2", action="store_true")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    strangers, twin = Digits(split="test"), trained(Digits(split="train"))
    with torch.inference_mode():
        right = twin(strangers.images.float() / 255).argmax(1) == strangers.labels
    sure = judged(twin, strangers.images[:, 0])["confident"]
    print(f"a twin reads {right.float().mean():.1%} of other people's real digits, {sure:.1%} surely")
    print(f"machine: {cpu_name()}{', AVX2 only' * arguments.avx2}")
    classifier = trained(Digits())
    rows = []
    for number, command in enumerate(arguments.commands):
        words = [*command.split(), *arguments.words]
        rows.append(one(arguments.out / str(number), words, classifier, AVX2 if arguments.avx2 else {}))
        print(json.dumps(rows[-1]), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return 0


def one(folder: Path, words: list[str], classifier: nn.Module, limits: dict[str, str]) -> dict[str, Any]:
    ganrun = [sys.executable, "-m", "ganrun"]
    environment = {**os.environ, **limits}
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run([*ganrun, "train", *words, f"out={folder}"], check=True, env=environment)
    wall, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    place = folder / "samples.npz"
    sample = [*ganrun, "sample", f"ckpt={folder}", f"n={SAMPLES}", f"out={place}", "overwrite=true"]
    subprocess.run(sample, check=True, stdout=subprocess.DEVNULL, env=environment)
    with np.load(place) as packed:
        images = torch.from_numpy(packed["images"])[..., 0]
    status = json.loads((folder / "status.json").read_text(encoding="utf-8"))
    spent = {"wall s": round(wall, 1), "CPU s": round(cpu, 1), "steps": status["step"]}
    return {"words": " ".join(words), **spent, **judged(classifier, images)}


@torch.inference_mode()
def judged(classifier: nn.Module, images: Tensor) -> dict[str, float]:
    """(N, 16, 16) uint8 -> the share that is surely a digit, and the share of the least frequent digit among all."""
    probabilities = classifier(images[:, None].float() / 255).softmax(1)
    sure, digit = probabilities.max(1)
    shares = digit[sure >= CONFIDENT].bincount(minlength=10) / len(images)
    return {
        "confident": round((sure >= CONFIDENT).float().mean().item(), 4),
        "least digit": round(shares.min().item(), 4),
    }


def trained(data: Digits) -> nn.Module:
    """A small convolutional network that has learnt to name these digits."""
    network = nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Dropout(0.3), nn.Linear(64 * 16, 10),
    )  # fmt: skip
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    images, labels = data.images.float() / 255, data.labels
    for step in range(STEPS):
        chosen = torch.randint(len(images), (64,))
        loss = F.cross_entropy(network(shifted(images[chosen])), labels[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        optimizer.param_groups[0]["lr"] = 1e-3 * (1 - step / STEPS)
    return network.eval()


def shifted(images: Tensor) -> Tensor:
    """By up to a pixel in each direction."""
    down, right = torch.randint(-1, 2, (2,)).tolist()
    return images.roll((down, right), (2, 3))


def cpu_name() -> str:
    return f"{torch.backends.cpu.get_cpu_capability()}, {os.cpu_count()} cores, torch {torch.__version__}"


if __name__ == "__main__":
    sys.exit(main())
