"""Super-resolution on pictures that a run never saw: bicubic, after the content phase, after the adversarial phase.

python benchmarks/super_resolution.py OUT --data ../shared/data/cifar10.zip [--photos FOLDER] [--scales 2,4] [WORDS ...]

DATA: a folder or .zip of train/… and test/…, such as CIFAR-10's pictures. For each scale, model=real_sr learns on
train/ (a run that is there already is not repeated), and its phases are judged on 1,000 pictures of test/ and on the
photographs of --photos, which it has not seen either. WORDS are further words of ganrun train. Prints the CPU seconds,
and a table:

PSNR-Y   dB of the luma of BT.601 (16 to 235), without a border of `scale` pixels; the mean over the pictures
gain     the mean of its paired differences to bicubic, with half of its 95 % interval
energy   the mean squared difference of neighbouring luma pixels, as a share of the targets': 1 is as sharp

The small pictures are means of blocks of scale × scale pixels, which is what dataset=low_res makes. Papers use MATLAB's
imresize with its bicubic filter, so their numbers do not compare with these. "bicubic" is the better of the two usual
kernels, a = -0.5 and a = -0.75. OUT/x2_test.png, OUT/x2_photos.png … show input, bicubic, content, adversarial, target.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from runs import cost, table
from torch import Tensor

from ganrun.checkpoints.load import load_checkpoint
from ganrun.checkpoints.restore import load_system
from ganrun.common.images import grid, save_png, to_uint8
from ganrun.data.folder import Folder
from ganrun.evaluation.metrics.fidelity import cropped, luma, psnr
from ganrun.evaluation.metrics.intervals import gain, interval

STEPS = {2: (4000, 541), 4: (1500, 0)}  # of the content phase, and of the adversarial one: about ten CPU minutes
SHOWN = 6  # pictures in a grid
CROP = 128  # pixels of a photograph in the grid, of its middle

Results = Mapping[str, list[Tensor]]  # {method: pictures, (1, C, H, W) in [-1, 1] each}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("words", nargs="*", help="further words of ganrun train")
    parser.add_argument("--data", required=True, help="a folder or .zip with train/ and test/")
    parser.add_argument("--photos", type=Path, help="a folder of photographs")
    parser.add_argument("--scales", default="2,4", type=lambda text: [int(word) for word in text.split(",")])
    parser.add_argument("-n", type=int, default=1000, help="test pictures")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    small = [image[None].float() / 127.5 - 1 for image in Folder(asked.data, split="test", limit=asked.n).images]
    sets = {f"{len(small):,} test pictures": small}
    if asked.photos is not None:
        photos = read_photos(asked.photos)
        sets[f"{len(photos)} photographs"] = photos
    rows: list[list[object]] = []
    for scale in asked.scales:
        run = asked.out / f"x{scale}"
        seconds = trained(run, scale, asked.data, asked.words)
        for name, targets in sets.items():
            results = enlarged(run, scale, targets)
            rows += judged(f"×{scale}, {name}", results, scale)
            picture(asked.out / f"x{scale}_{'photos' if 'photo' in name else 'test'}.png", results, scale)
        print(f"×{scale}: {seconds:,.0f} CPU seconds of training")
    print(table(["pictures", "method", "PSNR-Y", "gain over bicubic", "energy"], rows))


def trained(run: Path, scale: int, data: str, words: Sequence[str]) -> float:
    """Trains a run unless it is there; returns its CPU seconds."""
    done = run / "bench.json"
    if not done.exists():
        content, adversarial = STEPS[scale]
        seconds = cost(
            "train", "model=real_sr", "dataset.source=folder", f"dataset.root={data}", "dataset.split=train",
            f"dataset.damages.low_res.factor={scale}", "dataset.flip=true", "batch_size=32", "average.half_life=5",
            f"steps={content + adversarial}", f"model.pretrain_steps={content}", "checkpoint.every=500",
            "checkpoint.keep=20", *([] if adversarial else ["model.perceptual=none"]),
            "device=cpu", "threads=1", "precision=fp32", f"out={run}", *words,
        )  # fmt: skip
        done.write_text(json.dumps({"seconds": seconds}), encoding="utf-8")
    return float(json.loads(done.read_text(encoding="utf-8"))["seconds"])


def phases(scale: int) -> dict[str, int]:
    """{phase: its last step}; ×4 has no adversarial phase here."""
    content, adversarial = STEPS[scale]
    return {"content": content, **({"adversarial": content + adversarial} if adversarial else {})}


def read_photos(folder: Path) -> list[Tensor]:
    """Colour photographs, (1, 3, H, W) in [-1, 1], cut to sides that 4 divides."""
    found = []
    for path in sorted(folder.iterdir()):
        with Image.open(path) as image:
            pixels = torch.from_numpy(np.array(image.convert("RGB")))
        height, width = (side // 4 * 4 for side in pixels.shape[:2])
        found.append(pixels[:height, :width].permute(2, 0, 1)[None].float() / 127.5 - 1)
    return found


@torch.inference_mode()
def enlarged(run: Path, scale: int, targets: list[Tensor]) -> Results:
    sources = [F.avg_pool2d(target, scale) for target in targets]
    results: dict[str, list[Tensor]] = {"input": [F.interpolate(it, scale_factor=scale) for it in sources]}
    kernels = [
        [F.interpolate(it, scale_factor=scale, mode="bicubic", antialias=sharp).clamp(-1, 1) for it in sources]
        for sharp in (True, False)  # enlarging, antialias= only chooses a = -0.5 instead of -0.75
    ]
    results["bicubic"] = max(kernels, key=lambda made: interval(luma_psnrs(made, targets, scale)).mean)
    for name, step in phases(scale).items():
        state = load_checkpoint(str(run / "checkpoints" / f"step_{step:06d}.pt"), "ckpt")
        system = load_system(state, "ema")
        results[name] = [system.translate(it) for it in sources]  # type: ignore[operator]
    # as written to a file: 8 bits
    kept = {name: [to_uint8(it).float() / 127.5 - 1 for it in images] for name, images in results.items()}
    return {**kept, "target": targets}


def judged(name: str, results: Results, scale: int) -> list[list[object]]:
    """A row for each method."""
    targets, rows = results["target"], []
    base = luma_psnrs(results["bicubic"], targets, scale)
    sharp = [energy(target) for target in targets]
    for method in ("bicubic", *phases(scale)):
        found = luma_psnrs(results[method], targets, scale)
        over = gain(found, base)
        share = sum(energy(image) for image in results[method]) / sum(sharp)
        gained = "–" if method == "bicubic" else f"{over.mean:+.2f} ± {over.half or 0:.2f}"
        rows.append([name, method, f"{interval(found).mean:.2f}", gained, f"{share:.2f}"])
    return rows


def luma_psnrs(images: Sequence[Tensor], targets: Sequence[Tensor], border: int) -> list[float]:
    pairs = zip(images, targets, strict=True)
    return [psnr(*(cropped(luma(picture), border) for picture in pair)).item() for pair in pairs]


def energy(images: Tensor) -> float:
    bright = luma(images)
    return float(bright.diff(dim=2).square().mean() + bright.diff(dim=3).square().mean())


def picture(path: Path, results: Results, scale: int) -> None:
    """A row for each picture: input, bicubic, content, adversarial, target."""
    count = len(results["target"])
    chosen = range(0, count, -(-count // SHOWN)) if count > 2 * SHOWN else range(min(count, SHOWN))
    cells = [middle(images[number]) for number in chosen for images in results.values()]
    side = min(min(cell.shape[2:]) for cell in cells)
    large = to_uint8(torch.cat([cell[..., :side, :side] for cell in cells]))
    factor = max(1, 112 // side)
    large = large.repeat_interleave(factor, 2).repeat_interleave(factor, 3)
    save_png(grid(large, len(results)), path)


def middle(image: Tensor) -> Tensor:
    height, width = image.shape[2:]
    if min(height, width) <= CROP:
        return image
    top, left = (height - CROP) // 2, (width - CROP) // 2
    return image[..., top : top + CROP, left : left + CROP]


if __name__ == "__main__":
    main()
