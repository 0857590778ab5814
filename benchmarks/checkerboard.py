"""Checkerboards: pix2pix with transposed convolutions, and with nearest-neighbour upsampling and convolutions.

python benchmarks/checkerboard.py OUT --photos FOLDER [--steps 1500] [--seeds 0] [more words of ganrun train]

Photographs are cut into parts of 64×64 pixels; those of --held are kept out of training. Each network learns to
sharpen blurred parts. Then it sharpens the held-out ones, and the table has its PSNR, and for each period of a stride
the energy there over that of its neighbourhood in the spectrum (`ganrun.evaluation.metrics.checkerboard`); a photograph
has about 1. OUT/checkerboard.png shows inputs, outputs and targets, enlarged, with one spectrum below each column.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from runs import cost, shown, table
from torch import Tensor

from ganrun.checkpoints.load import load_checkpoint
from ganrun.checkpoints.restore import load_system
from ganrun.common.images import to_uint8
from ganrun.common.seeding import reseed
from ganrun.config.build import build
from ganrun.data.damage import Damage
from ganrun.data.folder import Folder
from ganrun.evaluation.metrics.checkerboard import checkerboard, spectrum
from ganrun.evaluation.metrics.fidelity import psnr

SIDE, APART = 64, 32  # pixels of a part, and from one to the next in training
WAYS = ("transposed", "resize")
PERIODS = (2, 4)
SMALL = ["model.generator.base_channels=16", "model.discriminator.base_channels=32", "batch_size=8"]
ZOOM, SHOWN = 3, 6  # of the picture: times enlarged, and parts


def cut(photos: Path, out: Path, held: set[str]) -> None:
    """OUT/train and OUT/held: parts of the colour photographs, at most 400 of each."""
    for path in sorted(photos.iterdir()):
        try:
            with Image.open(path) as photo:
                if photo.mode != "RGB" or min(photo.size) < 4 * SIDE:
                    continue
                pixels = np.asarray(photo)
        except OSError:
            continue
        kept_out = path.stem in held
        folder = out / ("held" if kept_out else "train")
        folder.mkdir(parents=True, exist_ok=True)
        step = SIDE if kept_out else APART
        places = [
            (y, x)
            for y in range(0, pixels.shape[0] - SIDE + 1, step)
            for x in range(0, pixels.shape[1] - SIDE + 1, step)
        ]
        for y, x in places[:: -(-len(places) // 400)]:
            Image.fromarray(pixels[y : y + SIDE, x : x + SIDE]).save(folder / f"{path.stem}_{y:04d}_{x:04d}.png")


@torch.inference_mode()
def sharpened(run: Path, held: Path) -> tuple[Tensor, Tensor, Tensor]:
    """Inputs, outputs and targets, (N, 3, 64, 64) in [-1, 1]: the same inputs for every run."""
    state = load_checkpoint(str(run), "OUT")
    system, config = load_system(state), state["config"]["dataset"]
    clean = Folder(str(held), image_size=SIDE, channels=3).images.float() / 127.5 - 1
    damage = build(config["damages"][config["damage"]], Damage, "damage")
    reseed(1)
    source = damage.added(clean)["source"]
    return source, torch.cat([system.translate(part) for part in source.split(64)]), clean


def measured(images: Tensor, targets: Tensor) -> dict[str, float]:
    """PSNR in decibels, and the checkerboard of each period, as files of 8 bits have them."""
    images = to_uint8(images).float() / 127.5 - 1
    found = {f"period {period}": checkerboard(images, period) for period in PERIODS}
    return {"PSNR": psnr(images, targets).mean().item(), **found}


def picture(columns: list[Tensor], path: Path) -> None:
    """A column for each batch: parts of it, enlarged, and below them its spectrum, zero in the middle, logarithmic."""
    strips = []
    for images in columns:
        some = images[:: max(1, len(images) // SHOWN)][:SHOWN]
        power = torch.fft.fftshift(spectrum(images)).log10()
        power = ((power - power.min()) / (power.max() - power.min())).mul(255).byte().expand(3, -1, -1)
        tiles = [*to_uint8(some), power]
        strips.append(torch.cat([tile.repeat_interleave(ZOOM, 1).repeat_interleave(ZOOM, 2) for tile in tiles], 1))
    Image.fromarray(torch.cat(strips, 2).permute(1, 2, 0).contiguous().numpy()).save(path)


def train(run: Path, way: str, seed: str, root: Path, words: list[str], steps: int) -> float:
    """CPU seconds of the run."""
    return cost(
        *("train", "model=pix2pix", "dataset.source=folder", f"dataset.root={root}", "dataset.damage=blur"),
        *(f"dataset.image_size={SIDE}", "dataset.channels=3", f"model.generator.upsample={way}", f"seed={seed}"),
        *(*SMALL, "device=cpu", "threads=1", "precision=fp32", f"steps={steps}", f"out={run}", *words),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("words", nargs="*", help="further words of ganrun train")
    parser.add_argument("--photos", type=Path, required=True, help="a folder of photographs")
    parser.add_argument("--held", default="chelsea,flower", help="names of those that are held out (%(default)s)")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--seeds", default="0", type=lambda text: text.split(","))
    args = parser.parse_args()
    torch.set_num_threads(1)
    if not (args.out / "held").is_dir():
        cut(args.photos, args.out, set(args.held.split(",")))
    found: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    columns: list[Tensor] = []
    for seed in args.seeds:
        for way in WAYS:
            run = args.out / f"{way}-{seed}"
            seconds = 0.0 if run.is_dir() else train(run, way, seed, args.out / "train", args.words, args.steps)
            source, made, clean = sharpened(run, args.out / "held")
            found[way].append({**measured(made, clean), "CPU s": seconds})
            if seed == args.seeds[0]:
                columns.append(made)
    heads = ["PSNR", *(f"period {period}" for period in PERIODS)]
    rows = [[way, *(shown([one[head] for one in found[way]]) for head in (*heads, "CPU s"))] for way in WAYS]
    rows += [["inputs", *(f"{measured(source, clean)[head]:.4g}" for head in heads), ""]]
    rows += [["targets", "", *(f"{measured(clean, clean)[head]:.4g}" for head in heads[1:]), ""]]
    print(table([f"{len(clean)} held-out parts", *heads, "CPU s"], rows))
    picture([source, *columns, clean], args.out / "checkerboard.png")


if __name__ == "__main__":
    try:
        main()
    except (OSError, ValueError) as error:
        print(f"checkerboard.py: {error}", file=sys.stderr)
        sys.exit(2)
