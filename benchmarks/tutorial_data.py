"""The picture sets that the tutorials' systems are measured on, as the zips a user would have.

python benchmarks/tutorial_data.py domains OUT    digits and tinted digits, unpaired (from MNIST, --data)
python benchmarks/tutorial_data.py pairs OUT      grey and colour pictures, paired by name (from CIFAR-10, --cifar)
python benchmarks/tutorial_data.py sketches OUT   outlines and digits, paired by name (from MNIST)
python benchmarks/tutorial_data.py bars OUT       upright bars, for an augmentation that only rotates

Nothing is downloaded, and a set has the same bytes each time that it is made with the same Pillow.
"""

from __future__ import annotations

import argparse
import io
import sys
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from torchvision.datasets import MNIST

PAPER = np.array([250, 226, 182])  # warm, of domain b
INK = np.array([24, 32, 104])  # dark blue, of domain b
STAMP = (2020, 1, 1, 0, 0, 0)

Named = Iterable[tuple[str, np.ndarray]]


def tinted(grey: np.ndarray) -> np.ndarray:
    """uint8 (..., H, W), white on black -> uint8 (..., H, W, 3), ink on paper: INK + (1 - x) (PAPER - INK)."""
    dark = 1 - grey[..., None] / 255
    return (INK + dark * (PAPER - INK)).round().astype(np.uint8)


def untinted(colour: np.ndarray) -> np.ndarray:
    """uint8 (..., H, W, 3) -> uint8 (..., H, W): what `tinted` was given, by projection onto the line INK to PAPER."""
    axis = PAPER - INK
    dark = (colour - INK.astype(float)) @ axis / (axis @ axis)
    return (255 * (1 - dark).clip(0, 1)).round().astype(np.uint8)


def coloured(grey: np.ndarray) -> np.ndarray:
    """uint8 (H, W) -> uint8 (H, W, 3), the same in every channel."""
    return np.repeat(grey[..., None], 3, axis=-1)


def digits(root: str, train: bool, start: int, step: int, paint: Callable[[np.ndarray], np.ndarray]) -> Named:
    """Every `step`-th digit from `start` on, in a folder of its class."""
    try:
        dataset = MNIST(root, train=train)
    except RuntimeError as error:
        raise FileNotFoundError(f"no MNIST/raw under --data {root}: give the folder that torchvision uses") from error
    for number in range(start, len(dataset.data), step):
        yield f"{dataset.targets[number]}/{number:05d}.png", paint(dataset.data[number].numpy())


def domains(out: Path, root: str) -> None:
    """Halves of the training set that share no digit, and twice 1,000 test digits that share none either."""
    pack(out / "a.zip", digits(root, True, 0, 2, coloured))
    pack(out / "b.zip", digits(root, True, 1, 2, tinted))
    pack(out / "a_test.zip", digits(root, False, 0, 10, coloured))
    pack(out / "b_test.zip", digits(root, False, 5, 10, tinted))


def pairs(out: Path, cifar: str) -> None:
    """Every tenth training picture and every twentieth test picture, as many of each class, grey and in colour."""
    with zipfile.ZipFile(cifar) as archive:
        for split, step, suffix in (("train", 10, ""), ("test", 20, "_test")):
            names = sorted(name for name in archive.namelist() if name.startswith(f"{split}/") and name[-1] != "/")
            if not names:
                raise ValueError(f"--cifar {cifar} has no folder {split}/: give a zip of train/CLASS/ and test/CLASS/")
            for kind, mode in (("source", "L"), ("target", "RGB")):
                pack(out / f"{kind}{suffix}.zip", read(archive, names[::step], mode))


def read(archive: zipfile.ZipFile, names: list[str], mode: str) -> Named:
    for name in names:
        with Image.open(archive.open(name)) as picture:
            yield f"{name.partition('/')[2].rpartition('.')[0]}.png", np.asarray(picture.convert(mode))


def outlined(grey: np.ndarray) -> np.ndarray:
    """uint8 (H, W) -> uint8 (H, W): what a stroke loses when it is made a pixel thinner all around."""
    around = np.pad(grey, 1)
    height, width = grey.shape
    thinner = np.min([around[y : y + height, x : x + width] for y in range(3) for x in range(3)], axis=0)
    return grey - thinner


def sketches(out: Path, root: str) -> None:
    """Every twelfth training digit and every twentieth test digit, its outline as the source."""
    for train, step, suffix in ((True, 12, ""), (False, 20, "_test")):
        pack(out / f"source{suffix}.zip", digits(root, train, 0, step, outlined))
        pack(out / f"target{suffix}.zip", digits(root, train, 0, step, lambda grey: grey))


def bars(out: Path) -> None:
    pack(out / "bars.zip", upright_bars(2000))


def upright_bars(count: int, size: int = 16, length: int = 10) -> Iterator[tuple[str, np.ndarray]]:
    """A brighter bar each, 2 to 4 pixels wide, of any place and brightness, on what ganrun's transforms fill with.

    So a turn leaves no mark but the bar's angle.
    """
    rng = np.random.default_rng(0)
    for number in range(count):
        width = rng.integers(2, 5)
        top, left = rng.integers(0, size - length + 1), rng.integers(0, size - width + 1)
        picture = np.full((size, size), 128, np.uint8)
        picture[top : top + length, left : left + width] = rng.integers(192, 256)
        yield f"{number:04d}.png", picture


def pack(path: Path, pictures: Named) -> None:
    """A zip of PNGs without the time of day in it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, pixels in pictures:
            data = io.BytesIO()
            Image.fromarray(pixels).save(data, "PNG")
            archive.writestr(zipfile.ZipInfo(name, STAMP), data.getvalue())
        print(f"{path}: {len(archive.namelist())} pictures")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", choices=("domains", "pairs", "sketches", "bars"))
    parser.add_argument("out", type=Path, help="a folder")
    parser.add_argument("--data", default="../shared/data", help="the folder that holds MNIST/raw (%(default)s)")
    parser.add_argument("--cifar", default="../shared/data/cifar10.zip", help="%(default)s")
    args = parser.parse_args()
    if args.set == "domains":
        domains(args.out, args.data)
    elif args.set == "pairs":
        pairs(args.out, args.cifar)
    elif args.set == "sketches":
        sketches(args.out, args.data)
    else:
        bars(args.out)


if __name__ == "__main__":
    try:
        main()
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        print(f"tutorial_data.py: {error}", file=sys.stderr)
        sys.exit(2)
