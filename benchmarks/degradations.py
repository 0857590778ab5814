"""Degradations: a trained network beside OpenCV's non-local means and bicubic enlargement, on held-out photographs.

python benchmarks/degradations.py PICTURES [--ckpt RUN] [--factor 2] [--draws 4] [--sheet x.png]
python benchmarks/degradations.py PICTURES --speed    # damaged pictures per CPU second, of 64² and 256² pixels

Each picture of the folder PICTURES is cropped to sides that 64 divides (smaller ones stay as they are) and damaged by
two rounds, dataset.damage=real_world (those of the run's config where it has them), `--draws` times. Compared are
bicubic enlargement, OpenCV's fastNlMeansDenoisingColored before it, and the run. Non-local means get all of
`--strengths` for h and hColor: "nlm" has the one that is best on average, "nlm, best h each" the one that is best for
each source, which only somebody who knows the target can choose. PSNR (RGB, and Y of BT.601) and SSIM, for each
picture the mean over its draws; then the mean over pictures, and the mean of the paired difference to the run with
its interval of 95 %
(Student's t over pictures). pip install opencv-python-headless scipy
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from scipy import stats
from torch import Tensor

from ganrun.checkpoints.load import load_checkpoint
from ganrun.checkpoints.restore import load_system
from ganrun.cli.composition import compose_plain
from ganrun.common.images import save_grid, to_uint8
from ganrun.common.pictures import open_picture
from ganrun.common.seeding import reseed
from ganrun.config.build import build
from ganrun.data import kernel_blur, noises
from ganrun.data.chains import Degradation
from ganrun.data.damage import Damage
from ganrun.evaluation.metrics.fidelity import psnr, ssim

LUMA = torch.tensor([0.299, 0.587, 0.114])[:, None, None]
SHOWN = 128  # pixels of a target's crop in the sheet
NAMED = 12  # pictures; of more, the table has the means alone
Method = Callable[[Tensor], Tensor]  # (1, 3, h, w) source -> (1, 3, H, W), both in [-1, 1]
Scores = dict[str, Tensor]  # of a method: (pictures, draws, 3) PSNR, PSNR of Y, SSIM


def opened(path: Path) -> Tensor:
    """(1, 3, H, W) in [-1, 1], cropped at the centre."""
    picture = open_picture(path).convert("RGB")
    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float() / 127.5 - 1
    unit = min(64, *pixels.shape[2:])
    height, width = (side // unit * unit for side in pixels.shape[2:])
    top, left = (pixels.shape[2] - height) // 2, (pixels.shape[3] - width) // 2
    return pixels[:, :, top : top + height, left : left + width]


def rounded(images: Tensor) -> Tensor:
    """As a file of 8 bits has them."""
    return to_uint8(images).float() / 127.5 - 1


def enlarged(source: Tensor, factor: int) -> Tensor:
    return (
        F.interpolate(source, scale_factor=factor, mode="bicubic", antialias=True).clamp(-1, 1)
        if factor > 1
        else source
    )


def denoised(source: Tensor, strength: float) -> Tensor:
    pixels = to_uint8(source)[0].permute(1, 2, 0).numpy()
    found = cv2.fastNlMeansDenoisingColored(pixels[:, :, ::-1].copy(), None, strength, strength)
    return torch.from_numpy(found[:, :, ::-1].copy()).permute(2, 0, 1)[None].float() / 127.5 - 1


def measured(output: Tensor, target: Tensor) -> Tensor:
    """(3,) PSNR of RGB, PSNR of Y, SSIM."""
    output = rounded(output)
    light = ((output * LUMA).sum(1, keepdim=True), (target * LUMA).sum(1, keepdim=True))
    return torch.cat([psnr(output, target), psnr(*light), ssim(output, target)]).float()


def with_best_strength(scores: Scores, strengths: list[float]) -> Scores:
    """The rows of all strengths become two."""
    found = torch.stack([scores[f"h={strength:g}"] for strength in strengths])  # (strengths, pictures, draws, 3)
    best = int(found[..., 0].mean((1, 2)).argmax())
    each = found.gather(0, found[..., :1].argmax(0, keepdim=True).expand(1, *found.shape[1:]))[0]
    kept = {name: values for name, values in scores.items() if not name.startswith("h=")}
    return {f"nlm, h={strengths[best]:g}": found[best], "nlm, best h each": each, **kept}


def table(scores: Scores, names: list[str]) -> str:
    """Markdown: a row for each method and picture, PSNR / PSNR-Y / SSIM."""
    lines = ["| | " + " | ".join([*names, "mean"]) + " |", "|---|" + "---:|" * (len(names) + 1)]
    for method, values in scores.items():
        means = [*values.mean(1)[: len(names)], values.mean((0, 1))]
        lines.append(f"| {method} | " + " | ".join(f"{a:.2f} / {b:.2f} / {c:.3f}" for a, b, c in means) + " |")
    return "\n".join(lines)


def differences(scores: Scores, run: str) -> str:
    lines = []
    for method in [name for name in scores if name != run]:
        for place, measure in enumerate(("dB", "dB of Y", "SSIM")):
            apart = (scores[run] - scores[method])[..., place].mean(1).double()
            half = stats.t.ppf(0.975, len(apart) - 1) * apart.std().item() / len(apart) ** 0.5
            low, high = apart.mean().item() - half, apart.mean().item() + half
            zero = "0 lies inside" if low <= 0 <= high else "0 lies outside"
            lines.append(f"run - {method}: {apart.mean():+.3f} {measure}, 95 % from {low:+.3f} to {high:+.3f}; {zero}")
    return "\n".join(lines)


def damage_of(config: Mapping[str, object] | None, factor: int) -> Damage:
    """Of the run's config where its data are damaged; else the yaml's."""
    node = (config or {}).get("dataset")
    if not isinstance(node, Mapping) or "damages" not in node:
        words = ["model=restoration", "dataset.damage=real_world", f"dataset.damages.real_world.factor={factor}"]
        node = compose_plain("train", words)["dataset"]
    return build(node["damages"][node["damage"]], Damage, "damage")


def speed(clean: Tensor, damage: Degradation, seconds: float) -> float:
    """(N, 3, S, S) -> pictures per CPU second; the same steps each time, as far as the time allows."""
    damage(clean)
    start, step = time.process_time(), 0
    while (spent := time.process_time() - start) < seconds:
        reseed(0, step)
        damage(clean)
        step += 1
    return step * len(clean) / spent


def plain_ways() -> Callable[[], None]:
    """Filter by convolution alone and take torch's Poisson noise; returns what undoes it."""
    kept = kernel_blur.by_fourier, noises.shot
    kernel_blur.by_fourier, noises.shot = kernel_blur.by_convolution, lambda levels: torch.poisson(levels) - levels

    def undo() -> None:
        kernel_blur.by_fourier, noises.shot = kept

    return undo


def speeds(path: Path, damage: Degradation, seconds: float) -> str:
    """Markdown: the speed of each group size, of crops of one photograph."""
    picture = opened(path)
    lines = [
        "| pixels | group | pictures per CPU second | by plain convolutions and torch.poisson |",
        "|---:|---:|---:|---:|",
    ]
    for side, count in ((64, 16), (256, 8)):
        corners = torch.randint(min(picture.shape[2:]) - side + 1, (count, 2)).tolist()
        clean = torch.cat([picture[:, :, y : y + side, x : x + side] for y, x in corners])
        for damage.group in (1, 4, count):
            fast = speed(clean, damage, seconds)
            undo = plain_ways()
            lines.append(f"| {side}² | {damage.group} | {fast:.0f} | {speed(clean, damage, seconds):.0f} |")
            undo()
    return "\n".join(lines)


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--ckpt")
    parser.add_argument("--factor", type=int, default=2, help="without --ckpt (%(default)s)")
    parser.add_argument("--draws", type=int, default=4, help="of the damage, for each picture (%(default)s)")
    parser.add_argument("--strengths", type=float, nargs="+", default=[3, 5, 7, 10, 15], help="%(default)s")
    parser.add_argument("--sheet", type=Path, help="a PNG: target, source and what each method makes of it")
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--threads", type=int, default=1, help="%(default)s")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(args.threads)
    state = load_checkpoint(args.ckpt, "--ckpt") if args.ckpt else None
    damage = damage_of(state["config"] if state else None, args.factor)
    if args.speed:
        print(speeds(sorted(args.pictures.iterdir())[0], damage, seconds=10))
        return
    methods: dict[str, Method] = {"bicubic": lambda source: enlarged(source, damage.scale)}
    for strength in args.strengths:
        methods[f"h={strength:g}"] = lambda source, h=strength: enlarged(denoised(source, h), damage.scale)
    if state:
        system = load_system(state, "ema").eval()
        methods["run"] = lambda source: system.translate(source)
    paths = sorted(path for path in args.pictures.iterdir() if path.suffix in (".png", ".jpg"))
    found: dict[str, list[Tensor]] = {name: [] for name in methods}
    cells: list[Tensor] = []
    for number, path in enumerate(paths):
        target = opened(path)
        for draw in range(args.draws):
            reseed(0, number, draw)
            source = rounded(damage(target))
            made = {name: method(source) for name, method in methods.items()}
            for name, output in made.items():
                found[name].append(measured(output, target))
            if draw == 0:
                shown = {name: made[name] for name in made if not name.startswith("h=") or name == "h=7"}
                pixels = F.interpolate(source, scale_factor=damage.scale)
                cells += [crop(image) for image in (target, pixels, *shown.values())]
    scores = {name: torch.stack(rows).view(len(paths), args.draws, 3) for name, rows in found.items()}
    scores = with_best_strength(scores, args.strengths)
    step = f", step {state['progress']['step']}" if state else ""
    print(f"{len(paths)} pictures × {args.draws} draws, factor {damage.scale}{step}; PSNR / PSNR of Y / SSIM\n")
    print(table(scores, [path.stem for path in paths] if len(paths) <= NAMED else []))
    if state:
        print("\n" + differences(scores, "run"))
    if args.sheet:
        heads = ["target", "source", "bicubic", "nlm, h=7", "run"][: len(cells) // len(paths)]
        save_grid(to_uint8(torch.cat(cells)), args.sheet, len(heads), captions=heads * len(paths))


def crop(image: Tensor) -> Tensor:
    """The centre."""
    top, left = (max(0, side - SHOWN) // 2 for side in image.shape[2:])
    return image[:, :, top : top + SHOWN, left : left + SHOWN]


if __name__ == "__main__":
    main()
