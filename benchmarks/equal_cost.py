"""Which model draws best for the same CPU seconds? A table of model × seeds, with a sample grid each.

python benchmarks/equal_cost.py OUT --data cifar10.zip --seconds 600
python benchmarks/equal_cost.py OUT --data cifar10.zip --seconds 600 --methods sngan,r3gan --seeds 0,1 batch_size=32

A short run of each model is timed first (CPU seconds of a step); its run then gets as many steps as the seconds allow.
Each is `ganrun train model=... dataset=folder dataset.split=train`, on one thread in float32, scored by
`ganrun eval` on the test split; further words go to all runs. Runs that are done are only read. OUT/<model>-<seed>/
holds each run, its scores.json and samples.png; OUT/table.md the table so far.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import runs

METHODS = {
    "dcgan": ["model=dcgan", "loss=hinge", "model.generator.base_channels=32", "model.discriminator.base_channels=32"],
    "sngan": ["model=sngan", "model.size=small"],
    "stylegan2": ["model=stylegan2", "model.size=small"],
    "r3gan": ["model=r3gan", "model.size=small"],
}
SHORT = (20, 60)  # steps of the two runs that are timed: their difference is 40 steps without a start
SCORES = ("fid", "kid", "precision", "recall", "coverage", "label_accuracy")
ALWAYS = ("device=cpu", "threads=1")


def main(words: Sequence[str] | None = None) -> None:
    given = arguments().parse_intermixed_args(words)
    out = Path(given.out)
    extra = ["dataset=folder", f"dataset.root={given.data}", "dataset.split=train", "precision=fp32", *given.words]
    for seed, method in product(given.seeds, given.methods):
        play(method, seed, given.seconds, out / f"{method}-{seed}", given.samples, extra)
        (out / "table.md").write_text(table(out), encoding="utf-8")
        print(table(out), flush=True)


def arguments() -> argparse.ArgumentParser:
    parser = runs.arguments(__doc__, METHODS)
    parser.set_defaults(seeds=["0"])
    parser.add_argument("--data", required=True, help="a folder or zip of pictures with a train and a test split")
    parser.add_argument("--seconds", type=float, default=600, help="CPU seconds of a run's steps")
    parser.add_argument("--samples", type=int, default=5000, help="that are scored")
    return parser


def play(method: str, seed: str, budget: float, run: Path, samples: int, extra: Sequence[str]) -> None:
    """Time, train, score and draw one run; nothing that is there already."""
    asked = {"seconds": budget, "samples": samples, "words": list(extra)}
    if runs.is_done(run, asked):
        return
    words = [*METHODS[method], f"seed={seed}", "hooks=quiet", *ALWAYS, *extra]
    steps = max(1, round(budget / seconds_of_step(words, run.with_name(f"{run.name}-timed"))))
    shutil.rmtree(run, ignore_errors=True)
    cpu = runs.cost("train", f"steps={steps}", f"out={run}", *words)
    scores, picture = run / "scores.json", run / "samples.png"
    runs.cost("eval", f"ckpt={run}", "split=test", f"n={samples}", f"out={scores}", "overwrite=true", *ALWAYS)
    runs.cost("sample", f"ckpt={run}", "n=100", f"out={picture}", "overwrite=true", *ALWAYS)
    values, real = runs.scores_in(scores), runs.scores_in(scores, "reference")
    runs.keep(run, asked=asked, method=method, steps=steps, cpu=cpu, values=values, real=real)


def seconds_of_step(words: Sequence[str], run: Path) -> float:
    """CPU seconds of one training step, without the start."""
    costs = []
    for steps in SHORT:
        shutil.rmtree(run, ignore_errors=True)
        costs.append(runs.cost("train", f"steps={steps}", f"out={run}", *words))
    shutil.rmtree(run)
    return (costs[1] - costs[0]) / (SHORT[1] - SHORT[0])


def table(out: Path) -> str:
    """A row for each model: mean ± half of the 95 % interval over its seeds."""
    found, rows = runs.results(out, "*"), []
    for method in METHODS:
        if mine := [run for run in found if run["method"] == method]:
            steps, cpu = (runs.shown([run[key] for run in mine]) for key in ("steps", "cpu"))
            rows.append([method, len(mine), steps, cpu, *runs.cells(mine, SCORES)])
    rows.append(["real pictures", "", "", "", *runs.cells(found, SCORES, "real")])
    return runs.table(["model", "seeds", "steps", "CPU seconds", *SCORES], rows)


if __name__ == "__main__":
    main()
