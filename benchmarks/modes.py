"""The collapse bench: which methods cover the modes? A table of method × seeds, with intervals and a picture each.

python benchmarks/modes.py OUT --bench ring --steps 20000 --seeds 0,1,2             5 % of PacGAN's length
python benchmarks/modes.py OUT --bench ring --methods gan,pack --seeds 0            its full length: 400,000 steps
python benchmarks/modes.py OUT --bench stacked_mnist --data DATA --steps 2000 "model.generator.base_channels=16"

Each run is `ganrun train experiment=... seed=...`, scored by `ganrun eval scores=[modes]`; further words go to all
runs.
A command that was stopped is given again: it goes on with `resume=auto`, and runs that are done are only read.
OUT/<bench>-<method>-<seed>/ holds each run, its scores.json and samples.png; OUT/<bench>.md the table so far.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

import runs


class Bench(NamedTuple):
    """An experiment, its full length, images of a batch and of PacGAN's pack, and how many samples are counted."""

    experiment: str
    steps: int
    batch: int
    pack: int
    samples: int
    shown: int
    published: dict[str, str]  # a row of the paper, by method


BENCHES = {
    "ring": Bench(
        "ring_pacgan", 400_000, 100, 4, 2500, 2500,
        {"gan": "6.3 ± .5, 98.2 %, .45", "pack": "7.8, 95.9 %, .07"},
    ),
    "grid": Bench(
        "grid_pacgan", 400_000, 100, 4, 2500, 2500,
        {"gan": "17.3 ± .8, 94.8 %, .70", "pack": "24.8, 93.6 %, .04"},
    ),
    "stacked_mnist": Bench(
        "stacked_mnist", 100_000, 64, 2, 26_000, 64,
        {"gan": "78.9 ± 6.5, –, 4.50", "pack": "1000, –, .06", "r3gan": "1000, –, –"},
    ),
}  # fmt: skip
METHODS = {
    "gan": [],
    "pack": ["model.discriminator.pack={pack}", "batch_size={packed}"],
    "stddev": ["model.discriminator.minibatch=stddev"],
    "wgan_gp": ["loss=wgan_gp"],
    "r3gan": ["loss=r3gan"],
}
SCORES = ("modes", "high_quality", "reverse_kl")


def main(words: Sequence[str] | None = None) -> None:
    given = arguments().parse_intermixed_args(words)
    bench, out = BENCHES[given.bench], Path(given.out)
    extra = [*given.words, *([f"dataset.root={given.data}"] if given.data else [])]
    for seed, method in product(given.seeds, given.methods):
        play(bench, method, seed, given.steps or bench.steps, out / f"{given.bench}-{method}-{seed}", extra)
        (out / f"{given.bench}.md").write_text(table(out, given.bench), encoding="utf-8")
        print(table(out, given.bench), flush=True)


def arguments() -> argparse.ArgumentParser:
    parser = runs.arguments(__doc__, METHODS)
    parser.add_argument("--bench", choices=BENCHES, default="ring")
    parser.add_argument("--steps", type=int, help="of a run; by default the paper's")
    parser.add_argument("--data", help="a folder with MNIST/raw, for stacked_mnist")
    return parser


def play(bench: Bench, method: str, seed: str, steps: int, run: Path, extra: Sequence[str]) -> None:
    """Train, score and draw one run; nothing that is there already."""
    asked = {"steps": steps, "words": list(extra)}
    if runs.is_done(run, asked):
        return
    wishes = [word.format(pack=bench.pack, packed=bench.pack * bench.batch) for word in METHODS[method]]
    cpu = runs.cost("train", f"experiment={bench.experiment}", f"seed={seed}", f"steps={steps}", "device=cpu",
                    "threads=1", "hooks=quiet", f"out={run}", "resume=auto", *wishes, *extra)  # fmt: skip
    scores, picture = run / "scores.json", run / "samples.png"
    cpu_only = ("device=cpu", "threads=1", "overwrite=true")
    runs.cost("eval", f"ckpt={run}", "scores=[modes]", f"n={bench.samples}", f"out={scores}", *cpu_only)
    runs.cost("sample", f"ckpt={run}", f"n={bench.shown}", f"out={picture}", *cpu_only)
    runs.keep(run, asked=asked, cpu=cpu, values=runs.scores_in(scores))


def table(out: Path, name: str) -> str:
    """A row for each method: mean ± half of the 95 % interval over its seeds. The published row is of full length."""
    bench, rows = BENCHES[name], []
    for method in METHODS:
        if mine := runs.results(out, f"{name}-{method}-*"):
            cpu = sum(run["cpu"] for run in mine) / len(mine)
            cells = runs.cells(mine, SCORES)
            steps = mine[0]["asked"]["steps"]
            rows.append([method, steps, len(mine), *cells, f"{cpu:.0f}", bench.published.get(method, "")])
    heads = ["method", "steps", "seeds", *SCORES, "CPU seconds", f"published, {bench.steps:,} steps"]
    return runs.table(heads, rows)


if __name__ == "__main__":
    main()
