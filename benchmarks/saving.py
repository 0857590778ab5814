"""Saving: what checkpoints cost a run's steps, in one process: blocks with a save in them beside blocks without.

python benchmarks/saving.py [OUT] [--every 100] [--blocks 20] [--warm-up 100] [WORDS ...]

WORDS are those of `ganrun train` (model=dcgan dataset=digits threads=1 by default). A block is `every` steps: the save
comes at its first step and is written by a thread meanwhile, as in a run with checkpoint.every=EVERY; the next block
has none. The ratio is of the medians of the two kinds' times; their quartiles stand beside them, and what the save
itself took: the copy that the step waits for, and the writing that it does not.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from ganrun.checkpoints import checkpoint
from ganrun.cli.composition import compose_plain
from ganrun.config.schema import check
from ganrun.training import runs
from ganrun.training.hooks.checkpoints import Checkpoints
from ganrun.training.record import StepRecord
from ganrun.training.trainer import Trainer

WORDS = ["model=dcgan", "dataset=digits", "device=auto", "threads=1", "precision=fp32"]


class Saver(Checkpoints):
    """Saves at the first step of every second block, and keeps the time of each block."""

    def __init__(self, folder: Path, config: dict[str, Any], every: int, warm_up: int) -> None:
        super().__init__(folder, config, every=10**9)
        self.block, self.warm_up = every, warm_up
        self.times: dict[bool, list[float]] = {True: [], False: []}
        self.cpu: dict[bool, list[float]] = {True: [], False: []}  # of all threads: a busy machine blurs it less
        self.copies: list[float] = []
        self.writes: list[float] = []

    def on_step(self, trainer: Trainer, record: StepRecord) -> None:
        number, step = divmod(trainer.step - self.warm_up, self.block)
        if step == 0 and number >= 0:
            now = settled(trainer)
            if number > 0:
                self.times[number % 2 == 1].append(now - self.begun)
                self.cpu[number % 2 == 1].append(time.process_time() - self.begun_cpu)
            self.begun, self.begun_cpu = now, time.process_time()
            if number % 2 == 0:
                self.save(trainer)
                self.copies.append(time.perf_counter() - now)
        if self.writing is not None and self.writing.done():
            self.finish_writing()

    def write(self, state: dict[str, Any], path: Path) -> None:
        begun = time.perf_counter()
        super().write(state, path)
        self.writes.append(time.perf_counter() - begun)


def settled(trainer: Trainer) -> float:
    """The time when the device has done what it was given."""
    next(trainer.system.parameters()).flatten()[0].item()
    return time.perf_counter()


def spread(values: list[float]) -> str:
    low, middle, high = statistics.quantiles(values, n=4)
    return f"{1e3 * middle:8.2f}   [{1e3 * low:.2f}, {1e3 * high:.2f}]"


def measure(words: list[str], out: Path, every: int, blocks: int, warm_up: int) -> tuple[Trainer, Saver]:
    """`blocks` of each kind, one after the other in turn."""
    steps = warm_up + 2 * blocks * every
    config = compose_plain("train", [*words, f"steps={steps}", "hooks=quiet"])
    check("train", config)
    trainer = runs.assemble(config, out)
    saver = Saver(out, config, every, warm_up)
    trainer.hooks = [saver]
    trainer.fit()
    return trainer, saver


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, nargs="?")
    parser.add_argument("--every", type=int, default=100)
    parser.add_argument("--blocks", type=int, default=20)
    parser.add_argument("--warm-up", type=int, default=100)
    args, words = parser.parse_known_args()
    if args.out is not None and "=" in str(args.out):
        args.out, words = None, [str(args.out), *words]
    out = args.out or Path(tempfile.mkdtemp())
    trainer, saver = measure(words or WORDS, out, args.every, args.blocks, args.warm_up)
    size = (out / "checkpoints/last.pt").stat().st_size
    with_save, without = ([t / args.every for t in saver.times[kind]] for kind in (True, False))
    pairs = [a / b for a, b in zip(with_save, without, strict=True)]
    ratio = statistics.median(with_save) / statistics.median(without)
    snapshots = []
    for _ in range(5):
        begun = settled(trainer)
        checkpoint.snapshot(trainer.state_dict())
        snapshots.append(time.perf_counter() - begun)
    print(f"{' '.join(words or WORDS)}: {trainer.device}, checkpoints of {size / 2**20:.1f} MiB, {args.blocks} pairs")
    print(f"                             ms       [quartiles]\nstep, a save every {args.every:<8}{spread(with_save)}")
    print(f"step, without              {spread(without)}\nthe step that saves waits  {spread(saver.copies)}")
    print(f"  of which the copy        {spread(snapshots)}\nwriting, in the thread     {spread(saver.writes)}")
    low, middle, high = statistics.quantiles(pairs, n=4)
    print(f"with / without {ratio:.4f}; of neighbouring blocks {middle:.4f} [{low:.4f}, {high:.4f}]")
    cpu = statistics.median(saver.cpu[True]) / statistics.median(saver.cpu[False])
    print(f"CPU time, with / without {cpu:.4f}: of all threads, the writer's with them")
    (out / "saving.json").write_text(
        json.dumps({"with": with_save, "without": without, "ratio": ratio, "cpu": cpu}) + "\n"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
