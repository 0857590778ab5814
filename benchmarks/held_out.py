"""Held-out pictures: what a picture-to-picture run gains over its damaged input, and over a classical baseline.

python benchmarks/held_out.py --ckpt RUN [--ckpt RUN ...] --pictures ../shared/data/cifar10.zip --split test [-n 1000]
python benchmarks/held_out.py --ckpt RUN --pictures ../shared/data/cifar10.zip --write FOLDER    # for ganrun apply

Each run's own damage (from its checkpoint's config) is drawn on pictures it never saw. Prints PSNR (dB, range 255) of
the input and of the output; inside the hole where the damage is a mask, beside mean-fill and OpenCV's Telea inpainting
if that is installed; beside bicubic where the output is larger than the input, and there how sharp each is: the mean
difference of neighbouring pixels, as a share of the clean pictures'. `--write` puts the same inputs and the clean
pictures into FOLDER/input and FOLDER/target, as PNGs of 8 bits.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ganrun.checkpoints.load import load_checkpoint
from ganrun.checkpoints.restore import load_system
from ganrun.common.images import save_png, to_uint8
from ganrun.common.seeding import reseed
from ganrun.config.build import build
from ganrun.data.damage import Damage
from ganrun.data.folder import Folder


def psnr(a: Tensor, b: Tensor, mask: Tensor | None = None) -> float:
    """The mean over pictures, (N, C, H, W) in [-1, 1]; inside `mask` (N, 1, H, W) where one is given."""
    squares = (a.clamp(-1, 1) - b).square() / 4  # on the scale where white is 1
    weight = torch.ones_like(squares) if mask is None else mask.expand_as(squares)
    error = (squares * weight).flatten(1).sum(1) / weight.flatten(1).sum(1)
    return (-10 * error.log10()).mean().item()


def telea(images: Tensor, mask: Tensor) -> Tensor | None:
    """Telea's inpainting (2004) as OpenCV has it."""
    try:
        import cv2
    except ImportError:
        return None
    filled = []
    for image, hole in zip(images, mask, strict=True):
        pixels = ((image.permute(1, 2, 0) + 1) * 127.5).round().byte().numpy()
        filled.append(torch.from_numpy(cv2.inpaint(pixels, hole[0].byte().numpy(), 3, cv2.INPAINT_TELEA)))
    return torch.stack(filled).permute(0, 3, 1, 2).float() / 127.5 - 1


def roughness(images: Tensor) -> float:
    """The mean |difference| of neighbouring pixels: pictures that are blurred have less of it."""
    return (images.diff(dim=2).abs().mean() + images.diff(dim=3).abs().mean()).item()


def write(images: Tensor, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(to_uint8(images)):
        save_png(image, folder / f"{number:04d}.png")


@torch.inference_mode()
def judge(ckpt: str, clean: Tensor, folder: Path | None = None) -> list[str]:
    state = load_checkpoint(ckpt, "--ckpt")
    system = load_system(state, "ema")
    node = state["config"]["dataset"]
    damage = build(node["damages"][node["damage"]], Damage, "damage")
    reseed(1)
    batch = damage.added(clean)
    source, mask = batch["source"], batch.get("mask")
    if folder is not None:
        write(source, folder / "input")
        write(clean, folder / "target")
    output = torch.cat([system.translate(part) for part in source.split(100)])
    lines = [f"{ckpt}: {node['damage']}, step {state['progress']['step']}, {len(clean)} pictures"]
    if output.shape != source.shape:
        bicubic = F.interpolate(source, output.shape[2:], mode="bicubic", antialias=True)  # a = -0.5
        for name, images in (("bicubic", bicubic), ("output", output)):
            sharp = roughness(images) / roughness(clean)
            lines.append(f"  {name} {psnr(images, clean):.2f} dB, sharpness {sharp:.2f} of the clean pictures'")
    elif mask is not None:
        mean = (clean * (1 - mask)).sum((2, 3), keepdim=True) / (1 - mask).sum((2, 3), keepdim=True)
        lines.append(f"  inside the hole: mean-fill {psnr(mean.expand_as(clean), clean, mask):.2f} dB")
        classical = telea(source, mask)
        if classical is not None:
            lines.append(f"  inside the hole: Telea {psnr(classical, clean, mask):.2f} dB")
        lines.append(f"  inside the hole: output {psnr(output, clean, mask):.2f} dB")
    else:
        before, after = psnr(source, clean), psnr(output, clean)
        lines.append(f"  input {before:.2f} dB, output {after:.2f} dB, gain {after - before:+.2f} dB")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ckpt", action="append", required=True)
    parser.add_argument("--pictures", required=True, help="a folder or .zip")
    parser.add_argument("--split", default="test")
    parser.add_argument("-n", type=int, default=1000)
    parser.add_argument("--write", type=Path, metavar="FOLDER", help="of one --ckpt")
    arguments = parser.parse_args()
    images = Folder(arguments.pictures, split=arguments.split, limit=arguments.n).images
    clean = images.float() / 127.5 - 1
    for ckpt in arguments.ckpt:
        print("\n".join(judge(ckpt, clean, arguments.write)))


if __name__ == "__main__":
    main()
