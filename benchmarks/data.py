"""Data: what decoding, the cache and streaming cost, beside a plain loop over the same files.

python benchmarks/data.py [--pictures 100000] [--rounds 3] [--out FOLDER]

Writes distinct small JPEG files to a temporary folder and measures, in one run: (a) images/s of building the cache
against plain Pillow loops, one thread and one thread for each core, paired in rounds; (b) the memory of a streaming
process and its workers after 10,000, half and all of the pictures; (c) batches/s from memory, from the cache's map and
streamed. The tables go to standard output; medians, with the least and the most of the rounds beside them.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ganrun.data.cache import Cache
from ganrun.data.folder import Folder, make_decoder
from ganrun.data.listing import list_images
from ganrun.data.loading.stream import Stream

SIDE, SIZE, BATCH = 64, 32, 64  # pixels of a file, pixels of an image, images of a batch
BUILT = 10_000  # pictures that a round decodes
DRAWN = 200  # batches that a round draws


def write(root: Path, count: int) -> None:
    """Distinct pictures of 1 to 2 KB, a thousand to a folder: noise, enlarged so that it compresses like a photo."""
    for i in range(count):
        folder = root / f"{i // 1000:03d}"
        folder.mkdir(exist_ok=True)
        pixels = np.random.default_rng(i).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        file = BytesIO()
        Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(file, "JPEG", quality=60)
        (folder / f"{i:06d}.jpg").write_bytes(file.getvalue())


def plain(path: Path) -> np.ndarray:
    """What a tutorial's data set does with a file."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BICUBIC))


def plain_loop(paths: list[Path]) -> None:
    for path in paths:
        plain(path)


def plain_threads(paths: list[Path]) -> None:
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        for _ in threads.map(plain, paths):
            pass


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def rates(cases: dict[str, Callable[[], object]], count: int, rounds: int) -> dict[str, list[float]]:
    """Things a second of each case, a number a round; the cases take turns, in another order each round."""
    found: dict[str, list[float]] = {name: [] for name in cases}
    for number in range(rounds):
        for name in random.Random(number).sample(sorted(cases), len(cases)):
            found[name].append(count / seconds(cases[name]))
    return found


def table(title: str, unit: str, found: dict[str, list[float]], base: str) -> None:
    print(f"\n{title}\n\n| | {unit} | least – most | ratio to {base}, median of rounds |\n|---|---|---|---|")
    for name, values in found.items():
        ratio = statistics.median(value / other for value, other in zip(values, found[base], strict=True))
        middle = statistics.median(values)
        print(f"| {name} | {middle:,.0f} | {min(values):,.0f} – {max(values):,.0f} | {ratio:.2f} |")


def resident(pid: int) -> float:
    """MiB that a process has in memory for itself: what forked processes share is counted in parts."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def family() -> list[int]:
    """This process and its children."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return [os.getpid(), *map(int, children)]


def memory(root: Path, count: int) -> None:
    data = Folder(str(root), image_size=SIZE, channels=3, mode="stream")
    batches = Stream(data, BATCH, seed=0).starting_at(0)
    next(batches)
    print(f"\nMemory while streaming {count:,} pictures, {data.workers} worker(s)\n")
    print("| pictures drawn | this process, MiB | workers, MiB | images/s |\n|---|---|---|---|")
    drawn = BATCH
    for goal in sorted({min(10_000, count), count // 2, count}):
        start, before = time.perf_counter(), drawn
        while drawn < goal:
            next(batches)
            drawn += BATCH
        rate = (drawn - before) / (time.perf_counter() - start)
        own, *workers = map(resident, family())
        print(f"| {drawn:,} | {own:.0f} | {sum(workers):.0f} | {rate:,.0f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="a folder for the pictures, kept; else a temporary one")
    args = parser.parse_args()
    torch.set_num_threads(1)
    place = args.out or Path(tempfile.mkdtemp())
    root, cache = place / "pictures", place / "cache"
    try:
        if not root.exists():
            root.mkdir(parents=True)
            took = seconds(lambda: write(root, args.pictures))
            print(f"{args.pictures:,} distinct JPEG files of {SIDE}×{SIDE} written in {took:.0f} s")
        memory(root, args.pictures)  # first, while this process is small

        paths = sorted(root.rglob("*.jpg"))[:BUILT]
        plain_loop(paths)  # all files in the page cache

        listing = list_images(root).pick(range(BUILT))  # the loops are given their paths too

        def built() -> None:
            shutil.rmtree(cache, ignore_errors=True)
            Cache(str(cache), listing, make_decoder(SIZE, 3, "crop")).load()

        loops = {"plain loop": lambda: plain_loop(paths), "plain loop, all cores": lambda: plain_threads(paths)}
        found = rates({**loops, "cache built": built}, len(paths), args.rounds)
        table(f"Decoding {len(paths):,} pictures to {SIZE}×{SIZE}", "images/s", found, "plain loop")

        options = {"limit": BUILT, "image_size": SIZE, "channels": 3}
        sets = {
            "in memory": Folder(str(root), cache=None, mode="memory", **options),
            "mapped from the cache": Folder(str(root), cache=str(cache), **options),
            "streamed": Folder(str(root), mode="stream", **options),
        }
        streams = {name: Stream(data, BATCH, seed=0) for name, data in sets.items()}

        def drawing(stream: Stream) -> Callable[[], None]:
            batches = stream.starting_at(0)  # its workers stay from round to round
            next(batches)
            return lambda: [None for _ in islice(batches, DRAWN)] and None

        draws = {name: drawing(stream) for name, stream in streams.items()}
        found = rates(draws, DRAWN, args.rounds)
        table(f"Batches of {BATCH}, {SIZE}×{SIZE}", "batches/s", found, "in memory")
    finally:
        if args.out is None:
            shutil.rmtree(place, ignore_errors=True)


if __name__ == "__main__":
    main()
