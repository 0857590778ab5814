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
import json
import resource
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from ganrun.evaluation.metrics.intervals import interval

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
    if unknown := set(given.methods.split(",")) - METHODS.keys():
        raise SystemExit(f"--methods {','.join(sorted(unknown))}: choose from {', '.join(METHODS)}")
    out = Path(given.out)
    extra = ["dataset=folder", f"dataset.root={given.data}", "dataset.split=train", "precision=fp32", *given.words]
    for seed in given.seeds.split(","):
        for method in given.methods.split(","):
            play(method, seed, given.seconds, out / f"{method}-{seed}", given.samples, extra)
            (out / "table.md").write_text(table(out), encoding="utf-8")
            print(table(out), flush=True)


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", help="the folder of all runs")
    parser.add_argument("words", nargs="*", help="further words of ganrun train, for all runs")
    parser.add_argument("--data", required=True, help="a folder or zip of pictures with a train and a test split")
    parser.add_argument("--methods", default=",".join(METHODS), help="some of %(default)s")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--seconds", type=float, default=600, help="CPU seconds of a run's steps")
    parser.add_argument("--samples", type=int, default=5000, help="that are scored")
    return parser


def play(method: str, seed: str, budget: float, run: Path, samples: int, extra: Sequence[str]) -> None:
    """Time, train, score and draw one run; nothing that is there already."""
    done, asked = run / "bench.json", {"seconds": budget, "samples": samples, "words": list(extra)}
    if done.exists():
        if (before := json.loads(done.read_text(encoding="utf-8")).get("asked")) != asked:
            raise SystemExit(f"{run} was made with {before}, and {asked} is asked for: choose another OUT")
        return
    words = [*METHODS[method], f"seed={seed}", "hooks=quiet", *ALWAYS, *extra]
    steps = max(1, round(budget / seconds_of_step(words, run.with_name(f"{run.name}-timed"))))
    shutil.rmtree(run, ignore_errors=True)
    cpu = cost("train", f"steps={steps}", f"out={run}", *words)
    scores, picture = run / "scores.json", run / "samples.png"
    cost("eval", f"ckpt={run}", "split=test", f"n={samples}", f"out={scores}", "overwrite=true", *ALWAYS)
    cost("sample", f"ckpt={run}", "n=100", f"out={picture}", "overwrite=true", *ALWAYS)
    found = json.loads(scores.read_text(encoding="utf-8"))["results"][0]["scores"]
    values, real = ({score["score"]: score.get(key) for score in found} for key in ("value", "reference"))
    row = {
        "method": method,
        "asked": asked,
        "steps": steps,
        "cpu": cpu,
        "values": values,
        "real": real,
        "first": found[0]["name"],
    }
    done.write_text(json.dumps(row), encoding="utf-8")


def seconds_of_step(words: Sequence[str], run: Path) -> float:
    """CPU seconds of one training step, without the start."""
    costs = []
    for steps in SHORT:
        shutil.rmtree(run, ignore_errors=True)
        costs.append(cost("train", f"steps={steps}", f"out={run}", *words))
    shutil.rmtree(run)
    return (costs[1] - costs[0]) / (SHORT[1] - SHORT[0])


def cost(*words: str) -> float:
    """Runs ganrun and returns its CPU seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "ganrun", *words], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def table(out: Path) -> str:
    """A row for each model: mean ± half of the 95 % interval over its seeds."""
    runs = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(out.glob("*/bench.json"))]
    lines = []
    for method in METHODS:
        if mine := [run for run in runs if run["method"] == method]:
            steps, cpu = (shown([run[key] for run in mine]) for key in ("steps", "cpu"))
            lines.append(f"| {' | '.join([method, str(len(mine)), steps, cpu, *cells(mine, 'values')])} |")
    lines.append(f"| {' | '.join(['real pictures', '', '', '', *cells(runs, 'real')])} |")
    heads = ["model", "seeds", "steps", "CPU seconds", f"fid ({runs[0]['first']})", *SCORES[1:]]
    return "\n".join([f"| {' | '.join(heads)} |", "|" + "---|" * len(heads), *lines, ""])


def cells(runs: Sequence[dict[str, dict[str, float | None]]], which: str) -> list[str]:
    """Each score over these runs; which: values, or real for what real pictures get."""
    return [shown([value for run in runs if (value := run[which].get(score)) is not None]) for score in SCORES]


def shown(values: Sequence[float]) -> str:
    """[6, 7] -> 6.5 ± 6.4; one value alone has no interval."""
    if not values:
        return "–"
    mean, half = interval(values)
    return f"{mean:.4g}" if half is None else f"{mean:.4g} ± {half:.2g}"


if __name__ == "__main__":
    main()
