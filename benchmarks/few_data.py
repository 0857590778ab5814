"""The few-data bench: which method draws well from a few pictures, and which one repeats them? Scores with intervals.

python benchmarks/few_data.py OUT --data DATA                                    both sets, all methods, 3 seeds
python benchmarks/few_data.py OUT --data DATA --set mnist100 --methods none,ada --cpu-seconds 300
python benchmarks/few_data.py OUT --data DATA --methods memoriser,held_out       what the scores say of known pictures

mnist100: ten training digits of each class, from DATA/MNIST/raw. cifar500: 500 horses, from DATA/cifar10.zip.
Each run is `ganrun train … seed=…` with all methods at the same CPU seconds: the steps follow from a short run of each
method on this machine, so give this machine nothing else to do. Then `ganrun sample` and `ganrun eval` compare 2,000
samples with 2,000 real pictures that nobody learnt from, and look for copies of the training pictures.
memoriser: training pictures with a little noise in place of a run. held_out: further real pictures.
A command that was stopped is given again: it goes on with `resume=auto`, and runs that are done are only read.
OUT/<set>-<method>-<seed>/ holds each run, its scores.json and samples.png; OUT/<set>.md the table so far.
"""

from __future__ import annotations

import argparse
import io
import json
import shutil
import time
import zipfile
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import runs
import torch
from PIL import Image
from torchvision.datasets import MNIST

from ganrun.cli.main import main as main_of_ganrun
from ganrun.common import images


class FewSet(NamedTuple):
    """What the sets differ in: how many pictures are learnt from, and the words of ADA."""

    train: int
    ada: list[str]


SETS = {
    "mnist100": FewSet(100, ["model.augmentation.geometry.flip=0", "model.augmentation.geometry.quarter_turns=0"]),
    "cifar500": FewSet(500, ["model.augmentation.geometry.quarter_turns=0"]),
}
DCGAN = ["model=dcgan", "loss=hinge", "optimizer.lr=5e-4", "model.generator.base_channels=16",
         "model.discriminator.base_channels=16"]  # fmt: skip
METHODS = {
    "none": DCGAN,
    "diffaugment": [*DCGAN, "augmentation=diffaugment"],
    "ada": [*DCGAN, "augmentation=ada", "model.augmentation.kimg=20"],
    "fewshot": ["model=fewshot", "augmentation=diffaugment", "optimizer.lr=5e-4", "batch_size=8"],
}
PLANTED = ("memoriser", "held_out")
COMMON = ["batch_size=32", "average.half_life=2", "precision=fp32", "device=cpu", "threads=1", "hooks=quiet"]
HELD_OUT = 2000  # real pictures that the samples are compared with, and as many that take the place of samples
NOISE = 8  # standard deviation of the memoriser's noise, in grey levels of 256
PILOT = (5, 20, 120)  # steps of three short runs; the difference of the last two is the time of a step
SCORES = ("fid", "copied", "authentic", "precision", "coverage")


def main(words: Sequence[str] | None = None) -> None:
    given = arguments().parse_intermixed_args(words)
    out = Path(given.out)
    names = given.sets.split(",")
    folders = {name: write_sets(name, Path(given.data), out / "data" / name) for name in names}
    for seed, name, method in product(given.seeds, names, given.methods):
        play(name, method, seed, given.cpu_seconds, out, folders[name], given.words)
        (out / f"{name}.md").write_text(table(out, name), encoding="utf-8")
        print(table(out, name), flush=True)


def arguments() -> argparse.ArgumentParser:
    parser = runs.arguments(__doc__, METHODS, PLANTED)
    parser.add_argument("--data", required=True, help="a folder with MNIST/raw and cifar10.zip")
    parser.add_argument("--set", dest="sets", default=",".join(SETS), help="some of %(default)s")
    parser.add_argument("--cpu-seconds", type=float, default=600, help="of the training of each run")
    return parser


# -- the pictures ---------------------------------------------------------------------------------------------------


def write_sets(name: str, data: Path, out: Path) -> Path:
    """train/, test/ and more/ as PNG folders, without a picture in common; nothing when they are there already."""
    if (out / "done").exists():
        return out
    splits = digits(data) if name == "mnist100" else horses(data / "cifar10.zip", SETS[name].train)
    for split, pictures in splits.items():
        (out / split).mkdir(parents=True, exist_ok=True)
        for number, picture in enumerate(pictures):
            picture.save(out / split / f"{number:04d}.png")
    (out / "done").touch()
    return out


def digits(data: Path) -> dict[str, list[Image.Image]]:
    """Ten training digits of each class; two parts of the test digits."""
    learnt, test = MNIST(str(data), train=True), MNIST(str(data), train=False)
    first = [int(place) for label in range(10) for place in (learnt.targets == label).nonzero()[:10, 0]]
    chosen = np.random.default_rng(0).permutation(len(test.data))
    parts = {"train": learnt.data[first], "test": test.data[chosen[:HELD_OUT]]}
    parts["more"] = test.data[chosen[HELD_OUT : 2 * HELD_OUT]]
    return {split: [Image.fromarray(picture.numpy()) for picture in part] for split, part in parts.items()}


def horses(path: Path, count: int) -> dict[str, list[Image.Image]]:
    """`count` horses of the training split to learn from, and the others in two parts."""
    with zipfile.ZipFile(path) as archive:
        names = sorted(name for name in archive.namelist() if name.startswith("train/horse/") and name[-1] != "/")
        order = np.random.default_rng(0).permutation(len(names))
        pictures = [Image.open(io.BytesIO(archive.read(names[place]))).convert("RGB") for place in order]
    return {
        "train": pictures[:count],
        "test": pictures[count : count + HELD_OUT],
        "more": pictures[count + HELD_OUT : count + 2 * HELD_OUT],
    }


def remembered(folder: Path, seed: int) -> Iterator[np.ndarray]:
    """HELD_OUT training pictures with noise: uint8 (H, W, C)."""
    random, places = np.random.default_rng(seed), sorted((folder / "train").glob("*.png"))
    for place in random.choice(places, HELD_OUT):
        picture = np.atleast_3d(np.asarray(Image.open(place))).astype(float)
        yield (picture + random.normal(0, NOISE, picture.shape)).round().clip(0, 255).astype(np.uint8)


# -- a run ----------------------------------------------------------------------------------------------------------


def play(name: str, method: str, seed: str, limit: float, out: Path, folder: Path, extra: Sequence[str]) -> None:
    """Train, draw and score one run; nothing that is there already."""
    run = out / f"{name}-{method}-{seed}"
    asked = {} if method in PLANTED else {"cpu_seconds": limit, "words": list(extra)}
    if runs.is_done(run, asked):
        return
    run.mkdir(parents=True, exist_ok=True)
    steps, cpu, fakes = 0, 0.0, run / "samples.npz"
    if method == "memoriser":
        np.savez(fakes, images=np.stack(list(remembered(folder, int(seed)))))
    elif method == "held_out":
        fakes = folder / "more"
    else:
        words = words_of(name, method, folder, extra)
        steps = steps_in(limit, name, method, words, out)
        before_all = time.process_time()
        ganrun("train", *words, f"seed={seed}", f"steps={steps}", f"out={run}", "resume=auto")
        cpu = time.process_time() - before_all
        ganrun("sample", f"ckpt={run}", f"n={HELD_OUT}", f"out={fakes}", "device=cpu", "threads=1", "overwrite=true")
        shown_grid(fakes, run / "samples.png")
    values = score(fakes, folder, run / "scores.json")
    runs.keep(run, asked=asked, steps=steps, cpu=cpu, values=values)


def words_of(name: str, method: str, folder: Path, extra: Sequence[str]) -> list[str]:
    words = [*COMMON, *METHODS[method], *(SETS[name].ada if method == "ada" else [])]
    return [*words, "dataset=folder", f"dataset.root={folder}", "dataset.split=train", *extra]


def steps_in(limit: float, name: str, method: str, words: Sequence[str], out: Path) -> int:
    """The steps that take `limit` CPU seconds, from short runs; written down, so that all seeds have the same."""
    known = out / f"{name}-{method}-pilot.json"
    if not known.exists():
        used = []
        for turn, count in enumerate(PILOT):
            place = out / "pilots" / f"{name}-{method}-{turn}"
            shutil.rmtree(place, ignore_errors=True)  # of a bench that was stopped
            start = time.process_time()
            ganrun("train", *words, f"steps={count}", f"out={place}")
            used.append(time.process_time() - start)
        known.write_text(json.dumps((used[2] - used[1]) / (PILOT[2] - PILOT[1])), encoding="utf-8")
    return max(1, round(limit / json.loads(known.read_text(encoding="utf-8"))))


def shown_grid(fakes: Path, out: Path) -> None:
    """The first 64 pictures of an .npz as a PNG."""
    with np.load(fakes) as arrays:
        images.save_png(images.grid(torch.from_numpy(arrays["images"][:64]).permute(0, 3, 1, 2), 8), out)


def score(fakes: Path, folder: Path, out: Path) -> dict[str, float | None]:
    ganrun("eval", f"real={folder / 'test'}", f"fake={fakes}", f"train={folder / 'train'}", f"out={out}",
           "scores=[fid,prdc,copying]", "features=random_conv", f"n={HELD_OUT}", "device=cpu", "threads=1",
           "overwrite=true")  # fmt: skip
    return runs.scores_in(out)


def ganrun(*words: str) -> None:
    """A command, in this process: the import of torch costs more CPU seconds than a score."""
    if code := main_of_ganrun(list(words)):
        raise SystemExit(code)


# -- the table ------------------------------------------------------------------------------------------------------


def table(out: Path, name: str) -> str:
    """A row for each method: mean ± half of the 95 % interval over its seeds."""
    rows = []
    for method in [*METHODS, *PLANTED]:
        if mine := runs.results(out, f"{name}-{method}-*"):
            cpu = sum(run["cpu"] for run in mine) / len(mine)
            rows.append([method, mine[0]["steps"], len(mine), *runs.cells(mine, SCORES), f"{cpu:.0f}"])
    return runs.table(["method", "steps", "seeds", *SCORES, "CPU seconds"], rows)


if __name__ == "__main__":
    main()
