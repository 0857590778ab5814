"""Ranks, killed: one run of two ranks whose rank 1 is killed at random moments, beside one that nobody disturbed.

python benchmarks/ranks_kill.py OUT [--kills 10] [--seed 0] [--steps 2000]

torchrun starts the ranks again each time (`--max-restarts`). Prints what is equal at the end and exits 1 where
anything differs. Needs Linux: it finds rank 1 by /proc.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from kill import same

from ganrun.checkpoints import checkpoint

WORDS = "model=mlp model.generator.widths=[16] model.discriminator.widths=[16] dataset=digits device=cpu"
OFTEN = (
    "threads=1 precision=fp32 checkpoint.every=20 grids.every=100 grids.count=16 log.every=10 hooks.tensorboard=null"
)
LONGEST = 600  # seconds


def start(folder: Path, steps: int, restarts: int) -> subprocess.Popen[str]:
    flags = ["--standalone", "--nproc-per-node", "2", "--max-restarts", str(restarts)]
    run = ["-m", "ganrun", "train", *WORDS.split(), *OFTEN.split(), f"steps={steps}", f"out={folder}"]
    return subprocess.Popen(
        [sys.executable, "-m", "torch.distributed.run", *flags, *run], stderr=subprocess.PIPE, text=True,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip


def rank_1_of(agent: int) -> int | None:
    """The process of rank 1 under this torchrun, as /proc tells."""
    for task in Path(f"/proc/{agent}/task").glob("*/children"):
        for child in task.read_text().split():
            try:
                environment = Path(f"/proc/{child}/environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"RANK=1" in environment:
                return int(child)
    return None


def step_of(folder: Path) -> int:
    try:
        return int(json.loads((folder / "status.json").read_text())["step"])
    except (OSError, ValueError):
        return 0


def kill_when(agent: subprocess.Popen[str], folder: Path, step: int, seen: set[int], rng: random.Random) -> int | None:
    """Kill rank 1 some moments after the run has told that it is at this step. Returns the step; None where it ended.

    At step 0 it strikes in the start, before anything is trained.
    """
    deadline = time.monotonic() + LONGEST
    while agent.poll() is None and time.monotonic() < deadline:
        victim = rank_1_of(agent.pid)
        if victim is not None and victim not in seen and step_of(folder) >= step:
            time.sleep(rng.uniform(0, 6 if step == 0 else 0.1))
            os.kill(victim, signal.SIGKILL)
            seen.add(victim)
            return step_of(folder)
        time.sleep(0.002)
    return None


def compare(whole: Path, killed: Path) -> dict[str, bool]:
    last, grids = "checkpoints/last.pt", sorted(path.name for path in whole.glob("grids/*"))
    metrics = [(folder / "metrics.jsonl").read_bytes() for folder in (whole, killed)]
    files = [{str(path.relative_to(folder)) for path in folder.rglob("*")} for folder in (whole, killed)]
    return {
        "last.pt, byte for byte": (whole / last).read_bytes() == (killed / last).read_bytes(),
        "last.pt, every tensor": same(checkpoint.load(whole / last), checkpoint.load(killed / last)),
        "metrics.jsonl, byte for byte": metrics[0] == metrics[1],
        f"{len(grids)} grids, byte for byte": all(
            (whole / "grids" / name).read_bytes() == (killed / "grids" / name).read_bytes() for name in grids
        ),
        "the same files": files[0] == files[1],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=2000)
    args = parser.parse_args()
    args.out.mkdir(parents=True)
    rng, seen = random.Random(args.seed), set[int]()
    whole = start(args.out / "whole", args.steps, 0)
    whole.communicate(timeout=LONGEST)
    agent = start(args.out / "killed", args.steps, args.kills)
    moments = [0, *sorted(rng.randrange(1, args.steps - 100) for _ in range(args.kills - 1))]
    struck = [kill_when(agent, args.out / "killed", moment, seen, rng) for moment in moments]
    error = agent.communicate(timeout=LONGEST)[1]
    told = sum("lost another rank" in line for line in error.splitlines())
    print(f"rank 1 killed {sum(step is not None for step in struck)} times, at the steps told as {struck};")
    print(f"rank 0 said {told} times that it lost another; torchrun ended with {agent.returncode}")
    equal = compare(args.out / "whole", args.out / "killed")
    for what, so in equal.items():
        print(f"{what:<34}{'equal' if so else 'DIFFERENT'}")
    (args.out / "ranks_kill.json").write_text(json.dumps({"killed_at": struck, "equal": equal}, indent=2) + "\n")
    return 0 if all(equal.values()) and None not in struck and agent.returncode == 0 else 1


if __name__ == "__main__":
    raise SystemExit(main())
