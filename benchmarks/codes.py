"""Codes: whether the discrete code of an InfoGAN separates the digits of MNIST, which it was never told.

python benchmarks/codes.py RUN [--data ROOT] [--seed 0]

Draws 100 pictures for each value of c1. The judge (judge.py), which knows MNIST's labels and nothing of the run, names
them. Purity is the share of the most frequent digit, averaged over the values. A generator that draws one picture for
each value is pure too, so the variety stands beside it: the mean distance of two pictures of the same value, in
relation to that of two real pictures of the same digit. Separate digits have a purity near 1 and a variety near 1.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from judge import CACHED, fingerprint, grey28, kept_judge, look, mnist, scaled
from torch import Tensor

import ganrun
from ganrun.training.watch.measures import spread

PICTURES = 100  # for each value of the code
REALS = 1000  # of the test set, for the variety


def counts(named: Tensor, values: int) -> Tensor:
    """(values · n,) digits, sorted by the code they were drawn with -> (values, 10) how often each digit was named."""
    return torch.stack([part.bincount(minlength=10) for part in named.view(values, -1)])


def purity(found: Tensor) -> float:
    """(values, 10) counts -> the share of the most frequent digit, averaged over the values."""
    return (found.amax(1) / found.sum(1)).double().mean().item()


def variety(pictures: Tensor, values: int, real: Tensor, labels: Tensor) -> float:
    """uint8 pictures, sorted by the code they were drawn with, and real ones -> 1 where both vary alike in a class."""
    drawn_with = torch.arange(values).repeat_interleave(len(pictures) // values)
    return (spread(scaled(pictures), drawn_with) / spread(scaled(real), labels)).item()


def table(found: Tensor) -> str:
    """Markdown: a line for each value of the code, with the digits it was named as, most frequent first."""
    lines = ["| c1 | share | digits |", "|---:|---:|---|"]
    for value, row in enumerate(found):
        digits = [f"{digit} ×{row[digit]}" for digit in row.argsort(descending=True).tolist() if row[digit]]
        lines.append(f"| {value} | {row.amax() / row.sum():.2f} | {', '.join(digits)} |")
    return "\n".join(lines)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="a run folder or a checkpoint of model=infogan")
    parser.add_argument("--data", default="../shared/data", help="the folder that holds MNIST/raw (%(default)s)")
    parser.add_argument("--judge", type=Path, default=CACHED, help="where the judge is kept (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the pictures (%(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="%(default)s")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    torch.set_num_threads(args.threads)
    run = ganrun.load(args.run, device="cpu")
    if (walk := run.system.codes().get("c1")) is None:
        raise ValueError(f"{args.run} has no code c1: give a run of model=infogan")
    judge = kept_judge(args.judge.expanduser(), args.data)
    pictures = grey28(run.sample(PICTURES * len(walk), seed=args.seed))  # equally many of each value, in order
    found = counts(look(judge, pictures)[1].argmax(1), len(walk))
    real, labels = (part[:REALS] for part in mnist(args.data, train=False))
    print(
        f"judge {fingerprint(judge)}, {judge.accuracy.item():.2%} on the test set; {PICTURES} pictures of each value\n"
    )
    print(table(found))
    digits = len(found.argmax(1).unique())
    print(f"\npurity {purity(found):.3f}, variety {variety(pictures, len(walk), real, labels):.2f} (step {run.step})")
    print(f"{digits} of 10 digits are the most frequent of a value")


if __name__ == "__main__":
    try:
        main()
    except (OSError, ValueError, RuntimeError, ganrun.UserError) as error:
        print(f"codes.py: {error}", file=sys.stderr)
        sys.exit(2)
