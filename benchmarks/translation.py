"""Unpaired translators side by side: what a step of CycleGAN, CUT and FastCUT costs, and what they make of digits.

python benchmarks/translation.py cost [--side 28] [--batch 8] [--rounds 12]   CPU seconds a step, and peak memory
python benchmarks/translation.py digits OUT --zips TUT [--methods cut,...]    class kept and domain reached, held out

cost: the models play their steps by turns in one process, so that what the machine does beside them meets all of them;
a row has the median and the range over the rounds, and the median of the ratios to CycleGAN within each round. Then
each plays three steps in a process of its own: the plan's bytes and the largest resident size (ru_maxrss), torch
included. CycleGAN and CUT stand there twice: as their papers have them, and without the identity term, as digits and
their negatives need them.
digits: TUT has a.zip, b.zip, a_test.zip and b_test.zip (`tutorial_data.py domains`); `tutorial_checks.py domain` asks
two classifiers that never saw the outputs.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch
from memory import Case, run
from runs import cost, table

from ganrun.cli.composition import compose_plain
from ganrun.config.schema import check
from ganrun.training import runs
from ganrun.training.trainer import Trainer

MODELS = {
    "CycleGAN": "model=cyclegan",
    "CycleGAN, no identity": "model=cyclegan model.identity_weight=0",
    "CUT": "model=cut",
    "CUT, no identity": "model=cut model.identity_weight=0",
    "FastCUT": "model=fastcut",
}
NEGATIVES = ["model.identity_weight=0", "model.adversarial_weight=2"]  # one domain is the other's negative
METHODS = {
    "cyclegan": ["model=cyclegan", *NEGATIVES],
    "cut": ["model=cut", *NEGATIVES, "model.nce_weight=0.05"],
    "fastcut": ["model=fastcut", *NEGATIVES, "model.nce_weight=0.05"],
}
PLAIN = ["device=cpu", "threads=1", "precision=fp32"]
AS_PAPER = ["schedule=linear", "optimizer.schedule.start=0.5", "batch_size=8"]
HERE = Path(__file__).resolve().parent


def trainer_of(words: list[str], place: Path) -> Trainer:
    config = compose_plain("train", [*words, *PLAIN, "hooks=quiet", "steps=1000000", "log.every=1000000"])
    check("train", config)
    trainer = runs.assemble(config, place)
    trainer.system.train()
    return trainer


def seconds_by_turns(words: dict[str, list[str]], rounds: int, steps: int, place: Path) -> dict[str, list[float]]:
    """{model: CPU seconds a step, for each round}."""
    trainers = {name: trainer_of(own, place / str(number)) for number, (name, own) in enumerate(words.items())}
    batches = {name: trainer.stream.starting_at(0) for name, trainer in trainers.items()}
    found: dict[str, list[float]] = {name: [] for name in words}
    for number in range(rounds + 1):
        for name, trainer in trainers.items():
            before = time.process_time()
            for _ in range(steps):
                trainer.play_step(batches[name])
            if number:  # the first round sets up kernels and optimizers
                found[name].append((time.process_time() - before) / steps)
    return found


def steps_cost(args: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    folder = f"dataset.root_a={{{args.side}}} dataset.root_b={{{args.side}}} batch_size={args.batch}"
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        memory = {
            model: run(Case(model, f"{words} {folder}"), place, None, more_words(3)) for model, words in MODELS.items()
        }
        data = [f"dataset.root_{domain}={place / str(args.side)}" for domain in "ab"]
        words = {model: [*line.split(), *data, f"batch_size={args.batch}"] for model, line in MODELS.items()}
        seconds = seconds_by_turns(words, args.rounds, args.steps, place)
    first = seconds["CycleGAN"]
    rows = []
    for model, own in seconds.items():
        ratios = [one / other for one, other in zip(own, first, strict=True)]
        said, taken = memory[model].said / 2**20, memory[model].taken / 2**20
        spread = f"{1e3 * median(own):,.0f} ({1e3 * min(own):,.0f}–{1e3 * max(own):,.0f})"
        share = f"{median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})"
        rows.append([model, spread, share, f"{said:,.0f}", f"{taken:,.0f}"])
    print(f"{args.side} pixels, batch {args.batch}, {args.rounds} rounds of {args.steps} steps, fp32, one thread")
    print(table(["", "CPU ms a step", "to CycleGAN", "plan MiB", "peak RSS MiB"], rows))


def more_words(steps: int) -> list[str]:
    return [*PLAIN, f"steps={steps}", "checkpoint.every=1"]


def digits(args: argparse.Namespace) -> None:
    rows = []
    for method in args.methods.split(","):
        folder = args.out / method
        if not folder.exists():
            data = [f"dataset.root_{domain}={args.zips / f'{domain}.zip'}" for domain in "ab"]
            words = [*METHODS[method], *data, *AS_PAPER, *PLAIN, f"steps={args.steps}", *args.words]
            seconds = cost("train", *words, f"out={folder}")
            (folder / "cost.json").write_text(json.dumps(seconds), encoding="utf-8")
        rows.append([method, *judged(folder, args.zips)])
    print(table(["", "CPU s", "class kept", "domain b", "both", "pictures"], rows))


def judged(folder: Path, zips: Path) -> list[str]:
    """The row of a run: its cost, and what the classifiers say of its translations of a_test.zip."""
    made = folder / "a_to_b"
    if not made.exists():
        cost("apply", f"ckpt={folder}", f"input={zips / 'a_test.zip'}", f"out={made}", "device=cpu", "threads=1")
    command = [sys.executable, str(HERE / "tutorial_checks.py"), "domain", str(made), "--like", "b"]
    said = subprocess.run([*command, "--zips", str(zips), "--json"], check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(said.stdout)
    seconds = json.loads((folder / "cost.json").read_text(encoding="utf-8")) if (folder / "cost.json").exists() else 0
    shares = [f"{100 * found[name]:.1f} %" for name in ("class_kept", "target_domain", "both")]
    return [f"{seconds:.0f}", *shares, str(found["pictures"])]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    price = commands.add_parser("cost")
    price.add_argument("--side", type=int, default=28, help="pixels of a picture (%(default)s)")
    price.add_argument("--batch", type=int, default=8)
    price.add_argument("--rounds", type=int, default=12)
    price.add_argument("--steps", type=int, default=3, help="steps of a model in a round (%(default)s)")
    price.set_defaults(work=steps_cost)
    quality = commands.add_parser("digits")
    quality.add_argument("out", type=Path)
    quality.add_argument("words", nargs="*", help="further words of ganrun train")
    quality.add_argument("--zips", type=Path, required=True)
    quality.add_argument("--methods", default=",".join(METHODS), help="some of %(default)s")
    quality.add_argument("--steps", type=int, default=2000)
    quality.set_defaults(work=digits)
    args = parser.parse_args()
    args.work(args)


if __name__ == "__main__":
    main()
