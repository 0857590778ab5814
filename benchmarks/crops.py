"""What crops of 256×256 pixels cost: the peak memory of a worker and pictures a second, beside decoding alone.

    python benchmarks/crops.py OUT PHOTOS

Makes JPEGs of 256², 1,000², 3,000² and 6,000² pixels in OUT from the photographs in PHOTOS: enlarged, with noise as
detail, quality 90. Each row is measured in processes of its own. Writes OUT/crops.json and prints the table of
docs/pictures.md. Linux only: memory and CPU time are read from /proc.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ganrun.cli.composition import compose_plain
from ganrun.config.builders import load_dataset
from ganrun.data.dataset import Dataset
from ganrun.data.loading.stream import Stream

SIDES = (256, 1000, 3000, 6000)
CROP, BATCH, PICTURES = 256, 4, 8
SHOWN = {256: 400, 1000: 160, 3000: 48, 6000: 24}  # pictures that a row decodes
NOISE = 8  # standard deviation of the detail, in levels of 255
REDUCED = [0.1, 0.25]  # crop_scale of the second row of each size
MIB = 2**20


def make(out: Path, photos: Path) -> None:
    """OUT/6000/0.jpg ..."""
    sources = sorted(path for path in photos.iterdir() if path.suffix in (".jpg", ".png"))
    for side in SIDES:
        folder = out / str(side)
        folder.mkdir(parents=True, exist_ok=True)
        for i in range(PICTURES):
            path = folder / f"{i}.jpg"
            if path.exists():
                continue
            with Image.open(sources[i % len(sources)]) as photo:
                pixels = np.asarray(photo.convert("RGB").resize((side, side), Image.Resampling.BICUBIC))
            noise = np.random.default_rng(i).standard_normal((side, side, 1), np.float32) * NOISE
            Image.fromarray((pixels + noise).clip(0, 255).astype(np.uint8)).save(path, quality=90)


def of_process(pid: int | str) -> tuple[float, float]:
    """(the largest resident size in MiB, seconds of CPU) of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    peak = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
    used = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return peak, (int(used[11]) + int(used[12])) / os.sysconf("SC_CLK_TCK")


def worker_of(parent: int) -> int:
    """The process that decodes for this one."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return int(children[0])


def photographs(folder: str, scale: str, *words: str) -> Dataset:
    """The crops as `ganrun train dataset=folder` reads them."""
    words = (f"dataset.root={folder}", f"dataset.crop={CROP}", f"dataset.crop_scale={scale}", *words)
    return load_dataset(compose_plain("train", ["model=dcgan", "dataset=folder", *words]))


def crops(folder: str, side: int, scale: str) -> dict[str, float]:
    """One worker: its peak memory, and its CPU seconds a picture after the first batches."""
    data = photographs(folder, scale, "dataset.mode=stream", "dataset.workers=1")
    batches = Stream(data, BATCH, seed=0).starting_at(0)
    next(batches)
    worker = worker_of(os.getpid())
    before, started, count = of_process(worker)[1], time.perf_counter(), SHOWN[side] // BATCH
    for _ in itertools.islice(batches, count):
        pass
    peak, used = of_process(worker)
    seconds = time.perf_counter() - started
    # the worker is a few batches ahead of what was taken; over a row this is the same at both ends
    return {"peak": peak, "cpu": (used - before) / (count * BATCH), "wall": seconds / (count * BATCH)}


def cached(folder: str, side: int, scale: str) -> dict[str, float]:
    """Crops of pictures that lie decoded in the cache, in this process."""
    cache = str(Path(folder).parent / "cache")
    data = photographs(folder, scale, "dataset.mode=memory", f"dataset.cache={cache}")
    stream, count = Stream(data, BATCH, seed=0), 100
    for step in range(5):
        stream[step]
    before = time.process_time()
    for step in range(count):
        stream[step]
    return {"cpu": (time.process_time() - before) / (count * BATCH)}


def alone(folder: str, side: int, scale: str) -> dict[str, float]:
    """Pillow decodes the same files whole, and nothing else."""
    paths = sorted(Path(folder).glob("*.jpg"))
    before = time.process_time()
    for path in itertools.islice(itertools.cycle(paths), SHOWN[side]):
        with Image.open(path) as image:
            image.load()
    return {"peak": of_process("self")[0], "cpu": (time.process_time() - before) / SHOWN[side]}


MEASURES = {"crops": crops, "cached": cached, "alone": alone}


def measure(what: str, folder: Path, side: int, scale: object) -> dict[str, float]:
    command = [sys.executable, __file__, what, str(folder), str(side), json.dumps(scale)]
    found = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return dict(json.loads(found.splitlines()[-1]))


def table(rows: list[dict[str, float]]) -> str:
    lines = [
        "| pictures | one decoded | peak of a worker | above 256² | pictures/s | decoding alone | share | "
        "`crop_scale=[0.1,0.25]`: peak | pictures/s | from the cache, pictures/s |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        lines.append(
            f"| {row['side']:,.0f}² | {row['decoded']:.0f} MiB | {row['peak']:.0f} MiB | "
            f"{row['peak'] - rows[0]['peak']:.0f} MiB | {1 / row['cpu']:.1f} | {1 / row['alone']:.1f} | "
            f"{row['alone'] / row['cpu']:.2f} | {row['peak_reduced']:.0f} MiB | {1 / row['cpu_reduced']:.1f} | "
            f"{1 / row['cached']:.0f} |"
        )
    return "\n".join(lines)


def main() -> None:
    out, photos = Path(sys.argv[1]), Path(sys.argv[2])
    make(out, photos)
    rows = []
    for side in SIDES:
        folder = out / str(side)
        full, reduced = (measure("crops", folder, side, scale) for scale in (1, REDUCED))
        row = {
            "side": side, "decoded": 4 * side * side / MIB, "peak": full["peak"], "cpu": full["cpu"],
            "alone": measure("alone", folder, side, 1)["cpu"], "peak_reduced": reduced["peak"],
            "cpu_reduced": reduced["cpu"], "cached": measure("cached", folder, side, 1)["cpu"],
        }  # fmt: skip
        rows.append(row)
        print(row, flush=True)
    (out / "crops.json").write_text(json.dumps(rows, indent=1))
    print(table(rows))


if __name__ == "__main__":
    if sys.argv[1] in MEASURES:
        torch.set_num_threads(1)
        print(json.dumps(MEASURES[sys.argv[1]](sys.argv[2], int(sys.argv[3]), sys.argv[4])))
    else:
        main()
