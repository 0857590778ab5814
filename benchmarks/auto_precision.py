"""precision=auto on this machine: every recipe's real steps in float32, in bf16 and as `auto` chose.

python benchmarks/auto_precision.py --data DATA [--avx2] [--rounds 3] [--seconds 2] [--only t1_mlp ...] [--json x.json]

The trainers of a recipe take turns, so that a busy neighbour meets them all; a figure is the median of the rounds.
`of best` is the speed of what `auto` chose over that of the better precision: 1 where it chose well. CelebA and own
pictures are replaced by noise of the recipe's size, which is as fast. --avx2 limits torch and oneDNN to AVX2.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from ganrun.cli.composition import compose_plain
from ganrun.common import images
from ganrun.common.precision import set_precision
from ganrun.config.builders import load_dataset
from ganrun.training import runs
from ganrun.training.planning import measure

AVX2 = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
QUIET = ["hooks=quiet", "device=cpu", "kimg=1000"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--avx2", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measured(arguments.one, arguments)))
        return 0
    experiments = sorted(path.stem for path in (Path(__file__).parents[1] / "conf/experiment").glob("*.yaml"))
    rows = []
    for name in arguments.only or experiments:
        words = [sys.executable, __file__, *sys.argv[1:], "--one", name]
        done = subprocess.run(
            words, env={**os.environ, **(AVX2 if arguments.avx2 else {})}, capture_output=True, text=True
        )
        if done.returncode:
            print(done.stderr, file=sys.stderr)
            return 1
        rows.append(json.loads(done.stdout.splitlines()[-1]))
        print(line(rows[-1]), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return 0 if all(row["of best"] >= 0.8 for row in rows) else 1


def line(row: dict[str, Any]) -> str:
    speeds = f"{row['fp32']:,.0f} | {row['bf16']:,.0f}"
    cells = [row["experiment"], speeds, row["chosen"], f"{row['of best']:.2f}", f"{row['seconds']:.1f} s", row["why"]]
    return f"| {' | '.join(cells)} |"


def measured(name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Images a second of each precision, and what `auto` makes of this recipe here."""
    with tempfile.TemporaryDirectory() as folder:
        words = data_words(name, arguments.data, Path(folder) / "pictures")
        config = {**compose_plain("train", [f"experiment={name}", *QUIET, *words]), "precision": "auto"}
        load_dataset(config)
        start = time.perf_counter()
        settled, choice = measure.settled(config)
        seconds = time.perf_counter() - start
        trainers = {
            precision: runs.assemble({**settled, "precision": precision}, Path(folder) / precision)
            for precision in ("fp32", "bf16")
        }
        found = images_per_second(trainers, settled, arguments)
    best = max(found.values())
    return {
        "experiment": name,
        **found,
        "seconds": seconds,
        "chosen": f"{settled['precision']}, {settled['threads']} threads",
        "of best": found[settled["precision"]] / best,
        "why": choice.reasons["precision"],
    }


def images_per_second(
    trainers: dict[str, Any], config: dict[str, Any], arguments: argparse.Namespace
) -> dict[str, float]:
    speeds: dict[str, list[float]] = {name: [] for name in trainers}
    for number in range(1 + arguments.rounds):
        for name, trainer in trainers.items():
            trainer.system.train()
            set_precision(name, trainer.device)
            batches = trainer.stream.starting_at(trainer.step)
            start, first = time.perf_counter(), trainer.step
            while trainer.step == first or time.perf_counter() - start < arguments.seconds:
                trainer.play_step(batches)
                trainer.average.update(trainer.step)
                trainer.step += 1
            if number:
                images = (trainer.step - first) * config["batch_size"]
                speeds[name].append(images / (time.perf_counter() - start))
    return {name: statistics.median(found) for name, found in speeds.items()}


def data_words(name: str, data: Path, made: Path) -> list[str]:
    if name == "digits":
        return []
    if name not in ("t4_dcgan", "t6_faces"):
        return [f"dataset.root={data}"]
    generator = torch.Generator().manual_seed(0)
    images.save_each(torch.randint(256, (256, 3, 64, 64), generator=generator, dtype=torch.uint8), made)
    return ["dataset=folder", f"dataset.root={made}", "dataset.image_size=64", "dataset.channels=3"]


if __name__ == "__main__":
    sys.exit(main())
