"""Applying: images/s of `ganrun apply` beside the network alone, a killed folder that goes on, too little memory.

python benchmarks/apply.py OUT --photos FOLDER [--pictures 1000] [--side 512] [--minutes 10] [--rounds 4]

The network is model=restoration at its default size, untrained: what it draws does not matter for its speed. The
pictures are cut out of the photographs of a folder, with flips. As many are taken as the network alone can do in
half of --minutes of CPU time. In each round the network alone and `ganrun apply` do the same pictures, in turns.
Prints the figures, writes OUT/apply.json, and exits 1 where a check fails.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from ganrun.checkpoints.load import load_checkpoint
from ganrun.checkpoints.restore import load_system
from ganrun.commands.apply.files import for_network, from_network, read_picture
from ganrun.common.device import pick_device
from ganrun.networks.unet import UNetGenerator

FORWARD = UNetGenerator.forward


def make_checkpoint(out: Path, photos: Path, device: str) -> Path:
    """An untrained run of model=restoration on colour pictures of 64 pixels."""
    run = out / "run"
    if not run.exists():
        words = ["model=restoration", "dataset.source=folder", f"dataset.root={photos}", "dataset.image_size=64",
                 "dataset.channels=3", "batch_size=2", "steps=1", "grids.count=2", f"device={device}"]  # fmt: skip
        subprocess.run([sys.executable, "-m", "ganrun", "train", *words, "precision=fp32", f"out={run}"], check=True)
    return run


def cut_pictures(out: Path, photos: Path, count: int, side: int) -> Path:
    """`count` pictures of side × side pixels, each another part of a photograph. Colour, 8 bits."""
    folder = out / f"pictures-{count}-{side}"
    if folder.exists():
        return folder
    draws, sources = np.random.default_rng(0), []
    for path in sorted(photos.iterdir()):
        with contextlib.suppress(Exception), Image.open(path) as image:
            if image.mode == "RGB" and min(image.size) >= 300:
                sources.append(image.convert("RGB"))
    folder.mkdir(parents=True)
    for number in range(count):
        photo = sources[number % len(sources)]
        short = int(draws.integers(min(min(photo.size), side) * 3 // 4, min(min(photo.size), side) + 1))
        left, top = (int(draws.integers(0, length - short + 1)) for length in photo.size)
        part = photo.crop((left, top, left + short, top + short)).resize((side, side), Image.Resampling.BICUBIC)
        part = part.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if draws.integers(2) else part
        part.save(folder / f"{number:05}.png")
    return folder


@torch.inference_mode()
def network_alone(run: Path, folder: Path, device: torch.device) -> tuple[float, float]:
    """(wall seconds, CPU seconds) of the network for all pictures of a folder, which are in memory."""
    state = load_checkpoint(str(run), "ckpt")
    system: Any = load_system(state).to(device)
    reads = [read_picture(path.read_bytes(), 3) for path in sorted(folder.iterdir())]
    from_network(system.translate(for_network(reads[0].pixels.to(device))), reads[0])  # warm
    begun, used = time.perf_counter(), time.process_time()
    for read in reads:
        from_network(system.translate(for_network(read.pixels.to(device))), read)
    return time.perf_counter() - begun, time.process_time() - used


def command(run: Path, folder: Path, out: Path, args: argparse.Namespace, *words: str) -> list[str]:
    threads = [f"threads={args.threads}"] if args.threads else []
    given = [f"ckpt={run}", f"input={folder}", f"out={out}", f"device={args.device}", *threads, *words]
    return [sys.executable, "-m", "ganrun", "apply", *given]


def applied(words: list[str]) -> tuple[float, str]:
    """(seconds that the command reports for the pictures, its lines)."""
    said = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    return float(said.split(" megapixels in ")[1].split(" s:")[0]), said


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.png")}


def speed(run: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Rounds of the network alone and of the command, in turns, on the same pictures."""
    device, rounds = pick_device(args.device), []
    each = max(1, args.count // args.rounds)
    folder = cut_pictures(args.out, args.photos, each, args.side)
    for number in range(args.rounds):
        alone, used = network_alone(run, folder, device)
        whole, _ = applied(command(run, folder, args.out / f"speed-{number}", args))
        rounds.append({"alone": each / alone, "alone_cpu_s": used, "apply": each / whole, "ratio": alone / whole})
        print(
            f"round {number + 1}: {each / alone:.3g} images/s alone, {each / whole:.3g} by apply, {alone / whole:.3f}"
        )
    ratio = statistics.median(one["ratio"] for one in rounds)
    return {"pictures": each * args.rounds, "side": args.side, "rounds": rounds, "median_ratio": ratio}


def killed(run: Path, args: argparse.Namespace) -> dict[str, Any]:
    """SIGKILL at three moments, resumed each time: the bytes are those of an unbroken command."""
    folder, out = cut_pictures(args.out, args.photos, args.kill_pictures, args.side), args.out / "killed"
    whole, _ = applied(command(run, folder, args.out / "unbroken", args))
    found = []
    for _ in range(3):
        words = command(run, folder, out, args, "resume=true")
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
        enough = len([*out.glob("*.png")]) + args.kill_pictures // 4
        while process.poll() is None and len([*out.glob("*.png")]) < enough:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()
        found.append({"pictures": len(content(out)), "unfinished": len([*out.rglob("*.part")])})
        for path in out.rglob("*.png"):
            with Image.open(path) as image:
                image.load()  # raises for half a picture
    _, said = applied(command(run, folder, out, args, "resume=true"))
    same = content(out) == content(args.out / "unbroken")
    left = len([*out.rglob("*.part")])
    print(f"killed three times: {found}; resumed: bytes equal {same}, {left} unfinished files\n{said}")
    return {"kills": found, "bytes_equal": same, "unfinished_after": left, "seconds_unbroken": whole}


def little_memory(run: Path, args: argparse.Namespace) -> dict[str, Any]:
    """The same in a process where allocating fails above 300 × 300 pixels: it ends with smaller tiles."""
    folder, out = cut_pictures(args.out, args.photos, 4, args.side), args.out / "memory"
    words = command(run, folder, out, args)[3:]
    script = "import sys, runpy; sys.path.insert(0, sys.argv.pop(1)); import apply; apply.failing(sys.argv[1:])"
    done = subprocess.run(
        [sys.executable, "-c", script, str(Path(__file__).parent), *words], capture_output=True, text=True
    )
    notes = [line for line in done.stdout.splitlines() if "memory ran out" in line]
    applied(command(run, folder, args.out / "enough", args))
    pairs = [
        (np.asarray(Image.open(one)), np.asarray(Image.open(out / one.name)))
        for one in (args.out / "enough").glob("*.png")
    ]
    apart = max(int(np.abs(a.astype(int) - b.astype(int)).max()) for a, b in pairs)
    print(f"memory: exit code {done.returncode}, {notes}, largest difference to whole pictures {apart} of 255")
    return {"exit_code": done.returncode, "notes": notes, "pictures": len(content(out)), "largest_difference": apart}


def failing(words: list[str]) -> None:
    """`ganrun WORDS` where a large allocation fails. In a process of its own."""
    from ganrun.cli.main import main

    def forward(self: UNetGenerator, images: torch.Tensor) -> torch.Tensor:
        if type(images) is torch.Tensor and images.shape[2] * images.shape[3] > 300 * 300:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 99 bytes")
        return FORWARD(self, images)

    UNetGenerator.forward = forward  # type: ignore[method-assign]
    sys.exit(main(words))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--pictures", type=int, default=1000)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--kill-pictures", type=int, default=16)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=None)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    if args.threads:
        torch.set_num_threads(args.threads)
    run = make_checkpoint(args.out, args.photos, args.device)
    _, used = network_alone(run, cut_pictures(args.out, args.photos, 2, args.side), pick_device(args.device))
    args.count = min(args.pictures, max(args.rounds, int(args.minutes * 60 / 2 / (used / 2))))
    print(f"{args.count} pictures of {args.pictures}: the network alone needs {used / 2:.3f} CPU seconds for each")
    found = {"killed": killed(run, args), "memory": little_memory(run, args), "speed": speed(run, args)}
    found["cpus"], found["torch"] = os.cpu_count(), torch.__version__
    (args.out / "apply.json").write_text(json.dumps(found, indent=1), encoding="utf-8", newline="\n")
    print(f"median ratio {found['speed']['median_ratio']:.3f} over {found['speed']['pictures']} pictures")
    fine = found["killed"]["bytes_equal"] and not found["memory"]["exit_code"] and found["speed"]["median_ratio"] >= 0.8
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
