"""Memory: what the plan of a run says it takes at most, and what it takes, in processes of their own.

python benchmarks/memory.py [--data FOLDER] [--only WORD ...] [--steps 3] [--save-at-the-end] [--json memory.json]

Each case is a whole `ganrun train steps=3 checkpoint.every=1` with its usual hooks, so that steps are played beside a
checkpoint's copy as in the middle of a long run; --save-at-the-end leaves checkpoint.every as it is. Pictures are
noise, made here, or those of FOLDER. The peak is the largest resident size of the process (ru_maxrss), torch included.
Exit code 1 where a plan is more than 1.3 times too high or too low.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path

BOUND = 1.3
COUNT = 64  # pictures in a folder: the largest batch
UNITS = {"MiB": 2**20, "GiB": 2**30}


@dataclass
class Case:
    """A name and the words of `ganrun train`; {64} stands for a folder of pictures of 64×64."""

    name: str
    words: str


CASES = [
    Case("MLP, MNIST's size", "model=mlp dataset=folder dataset.root={28}"),
    Case("DCGAN 32", "model=dcgan dataset=folder dataset.root={32}"),
    Case("DCGAN 32, WGAN-GP", "model=dcgan loss=wgan_gp dataset=folder dataset.root={32}"),
    Case("DCGAN 64", "model=dcgan dataset=folder dataset.root={64}"),
    Case("DCGAN 64, bf16", "model=dcgan dataset=folder dataset.root={64} precision=bf16"),
    Case("DCGAN 64, accumulate=4", "model=dcgan dataset=folder dataset.root={64} accumulate=4"),
    Case("DCGAN 128, batch 16", "model=dcgan dataset=folder dataset.root={128} batch_size=16"),
    Case("DCGAN 128, batch 16, bf16", "model=dcgan dataset=folder dataset.root={128} batch_size=16 precision=bf16"),
    Case("DCGAN 256, batch 4", "model=dcgan dataset=folder dataset.root={256} batch_size=4"),
    Case("VAE-GAN 64", "model=vaegan dataset=folder dataset.root={64}"),
    Case("pix2pix 64, batch 16", "model=pix2pix dataset=paired dataset.root={128x64} batch_size=16"),
    Case("pix2pix 256, batch 4", "model=pix2pix dataset=paired dataset.root={512x256} batch_size=4"),
    Case(
        "CycleGAN 64, batch 4", "model=cyclegan dataset=unpaired dataset.root_a={64} dataset.root_b={64} batch_size=4"
    ),
    Case("SRGAN 64, batch 16", "model=srgan dataset=low_res dataset.source=folder dataset.root={64} batch_size=16"),
]


@dataclass
class Found:
    """Bytes that the plan said and that were taken."""

    name: str
    said: float
    taken: float

    @property
    def ratio(self) -> float:
        return self.said / self.taken

    @property
    def row(self) -> str:
        mark = "" if 1 / BOUND <= self.ratio <= BOUND else "  OUTSIDE"
        return (
            f"| {self.name} | {self.said / 2**20:,.0f} MiB | {self.taken / 2**20:,.0f} MiB | {self.ratio:.2f} |{mark}"
        )


def png(width: int, height: int) -> bytes:
    """Noise in colour. By hand: torch and Pillow here would count as memory of the process that is started."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    rows = b"".join(b"\0" + os.urandom(3 * width) for _ in range(height))
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 2, 0, 0, 0])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 1)) + chunk(b"IEND", b"")


def folder_of(size: str, place: Path, data: Path | None) -> Path:
    """Pictures of WIDTHxHEIGHT or SIDE: noise, or those of `data` (which the run then brings to its own size)."""
    if data is not None:
        return data
    width, height = (int(side) for side in (size.split("x") * 2)[:2])
    folder = place / size
    if not folder.exists():
        folder.mkdir()
        for number in range(COUNT):
            (folder / f"{number:03d}.png").write_bytes(png(width, height))
    return folder


def run(case: Case, place: Path, data: Path | None, more: list[str]) -> Found:
    words = [re.sub(r"\{(.+)\}", lambda m: str(folder_of(m[1], place, data)), word) for word in case.words.split()]
    out = tempfile.mkdtemp(dir=place)
    command = [sys.executable, "-m", "ganrun", "train", *words, *more, f"out={out}/run"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    text = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    line = re.search(r"^memory +about ([\d,.]+) (MiB|GiB)", text, re.MULTILINE)
    if status or not line:
        raise SystemExit(f"{' '.join(command)} ended with {os.waitstatus_to_exitcode(status)}:\n{text}")
    said = float(line[1].replace(",", "")) * UNITS[line[2]]
    return Found(case.name, said, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a folder of your own pictures, for the cases that take one")
    parser.add_argument("--only", nargs="*", default=[], help="cases whose name has one of these words")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--save-at-the-end", action="store_true")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    more = [f"steps={args.steps}", *([] if args.save_at_the_end else ["checkpoint.every=1"])]
    cases = [case for case in CASES if not args.only or any(word in case.name for word in args.only)]
    print("| run | the plan said | it took | ratio |\n|---|---:|---:|---:|")
    found = []
    with tempfile.TemporaryDirectory() as place:
        for case in cases:
            found.append(run(case, Path(place), args.data, more))
            print(found[-1].row, flush=True)
    if args.json:
        args.json.write_text(json.dumps([{**asdict(one), "ratio": one.ratio} for one in found], indent=1) + "\n")
    return int(not all(1 / BOUND <= one.ratio <= BOUND for one in found))


if __name__ == "__main__":
    raise SystemExit(main())
