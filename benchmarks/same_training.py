"""Is training what it was? Three systems are trained by two versions of ganrun, and every number is compared.

python benchmarks/same_training.py --before bc3da64      # against this working tree

float32, one thread, the CPU. Equal means equal bits: all weights, optimizer states and numbers of last.pt, and every
column of metrics.jsonl that is no time.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from house import environment, tree_of

COMMON = ["precision=fp32", "threads=1", "device=cpu", "batch_size=16", "dataset.limit=256", "steps=30", "log.every=5"]
RUNS = {
    "dcgan, wgan_gp": ["model=dcgan", "loss=wgan_gp"],
    "cyclegan, lsgan": ["model=cyclegan", "loss=lsgan", "batch_size=4"],
    "vaegan": ["model=vaegan", "loss=non_saturating"],
}
TIMES = ("seconds", "time", "images_per_second", "images/s")


def trained(tree: Path, words: list[str], folder: Path) -> Path:
    call = [sys.executable, "-m", "ganrun", "train", *COMMON, *words, f"out={folder}"]
    done = subprocess.run(call, env=environment(tree), cwd=folder.parent, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(call)} ended with {done.returncode}: {done.stderr[-2000:]}")
    return folder


def unlike(one: Any, other: Any, place: str = "") -> Iterator[str]:
    """The places where two states differ."""
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        if one.shape != other.shape or one.dtype != other.dtype or not torch.equal(one, other):
            yield place
    elif isinstance(one, dict) and isinstance(other, dict):
        for key in {**one, **other}:
            yield from unlike(one.get(key), other.get(key), f"{place}.{key}")
    elif isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)) and len(one) == len(other):
        for number, pair in enumerate(zip(one, other, strict=True)):
            yield from unlike(*pair, f"{place}.{number}")
    elif one != other:
        yield place


def state_of(run: Path) -> dict[str, Any]:
    """Of last.pt what training has made: its config may name moved classes."""
    state = torch.load(run / "checkpoints/last.pt", map_location="cpu", weights_only=True)
    return {key: state[key] for key in ("system", "average", "optimizers", "progress")}


def rows_of(run: Path) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return [{key: value for key, value in row.items() if not key.endswith(TIMES)} for row in rows]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", required=True, metavar="COMMIT")
    before, failed = parser.parse_args().before, False
    with tree_of(before) as earlier, tree_of(".") as now, tempfile.TemporaryDirectory() as folder:
        for name, words in RUNS.items():
            one = trained(earlier, words, Path(folder) / f"{words[0][6:]}-before")
            two = trained(now, words, Path(folder) / f"{words[0][6:]}-now")
            apart = [*unlike(state_of(one), state_of(two)), *unlike(rows_of(one), rows_of(two), "metrics.jsonl")]
            tensors = sum(isinstance(leaf, torch.Tensor) for leaf in torch.utils._pytree.tree_leaves(state_of(two)))
            failed |= bool(apart)
            print(f"{name:<18} {'DIFFERS: ' + ', '.join(apart[:5]) if apart else 'equal'}  ({tensors} tensors, "
                  f"{len(rows_of(two))} rows)", flush=True)  # fmt: skip
    sys.exit(failed)


if __name__ == "__main__":
    main()
