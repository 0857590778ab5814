"""What the tutorials' systems are to reach on the sets of tutorial_data.py, a line each; --json for a program.

python benchmarks/tutorial_checks.py domain OUTPUTS --like b --zips DOMAINS   translated digits: domain and class
python benchmarks/tutorial_checks.py l1 OUTPUTS TARGETS [--inputs INPUTS]     distance to the right answers
python benchmarks/tutorial_checks.py angles SAMPLES.npz bars.zip              how far bars lean
python benchmarks/tutorial_checks.py cycle CKPT --a a_test.zip --b b_test.zip distance after there and back
python benchmarks/tutorial_checks.py reconstruction CKPT                      what an autoencoder loses of test digits

OUTPUTS and the like are a folder or .zip, as `ganrun apply` writes them. Distances are mean |x - y|, from -1 to 1.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from judge import CACHED, grey28, kept_judge, look, mnist, scaled
from torch import Tensor, nn
from tutorial_data import untinted

from ganrun.checkpoints.load import load_checkpoint
from ganrun.checkpoints.restore import load_system
from ganrun.commands.apply.album import find_pictures, stem
from ganrun.commands.apply.places import STRIPS
from ganrun.data.decode import decode_whole
from ganrun.systems.cyclegan import CycleGAN
from ganrun.systems.vae import VAE

KINDS = ("a", "b", "neither")
TRAINED_ON, HELD_OUT = 4000, 1000  # pictures of each domain
Numbers = dict[str, float]


def read(place: str, count: int | None = None, channels: int = 3) -> dict[str, Tensor]:
    """{path without suffix: uint8 (C, H, W)} of all pictures, or of `count` of them, evenly spaced over the names."""
    found = find_pictures(place, "pictures")
    listed = sorted((x for x in found.listed if not x.name.startswith(f"{STRIPS}/")), key=lambda x: x.name)
    if count is not None:
        listed = [listed[number * len(listed) // count] for number in range(min(count, len(listed)))]
    read_one = found.source.read
    return {stem(x.name): torch.from_numpy(decode_whole(read_one(x), channels)[0].copy()) for x in listed}


def stacked(pictures: Sequence[Tensor], place: str) -> Tensor:
    """(N, C, H, W). Raises ValueError for pictures of more than one size."""
    if len({picture.shape for picture in pictures}) != 1:
        raise ValueError(f"{place}: the pictures are not all of one size")
    return torch.stack(list(pictures))


# domain


def domain(args: argparse.Namespace) -> Numbers:
    """The shares taken for the target domain, of those whose digit is the one in their path, and of both."""
    classifier, accuracy = domain_classifier(args.zips)
    named = read(args.outputs)
    pictures = stacked(list(named.values()), args.outputs)
    kinds = asked(classifier, pictures)
    hit = kinds == KINDS.index(args.like)
    numbers = {"pictures": len(pictures), "classifier_accuracy": accuracy, "target_domain": share(hit)}
    classes = [name.split("/")[-2:-1] for name in named]
    if all(name and name[0] in list("0123456789") for name in classes):
        # what still looks like a is read as a, so that the class says nothing of the domain
        back = torch.from_numpy(untinted(pictures.permute(0, 2, 3, 1).numpy()))[:, None]
        is_a = (kinds == KINDS.index("a")) | ((kinds == KINDS.index("neither")) & (args.like == "a"))
        grey = torch.where(is_a[:, None, None, None], grey28(pictures), grey28(back))
        _, logits = look(kept_judge(args.judge.expanduser(), args.data), grey)
        kept = logits.argmax(1) == torch.tensor([int(name[0]) for name in classes])
        numbers |= {"class_kept": share(kept), "both": share(kept & hit)}
    return numbers


def domain_classifier(zips: Path) -> tuple[nn.Module, float]:
    """Logits of KINDS, and the accuracy on held-out pictures; always from the same seed.

    Neither are digits in random colours: without them anything but black would count as b.
    """
    torch.manual_seed(0)
    both = [read(str(zips / name), TRAINED_ON + HELD_OUT) for name in ("a.zip", "b.zip")]
    a, b = (small(stacked(list(named.values()), str(zips)))[torch.randperm(len(named))] for named in both)
    kinds = [a, b, repainted(a)]
    train = torch.cat([part[HELD_OUT:] for part in kinds])
    labels = torch.arange(len(kinds)).repeat_interleave(len(a) - HELD_OUT)
    network = nn.Sequential(
        *(nn.Conv2d(3, 16, 5, 2, 2), nn.ReLU()),  # (N, 16, 14, 14)
        *(nn.Conv2d(16, 32, 5, 2, 2), nn.ReLU()),  # (N, 32, 7, 7)
        *(nn.Flatten(), nn.Linear(32 * 7 * 7, 64), nn.ReLU(), nn.Linear(64, len(kinds))),
    )
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    for _ in range(4):
        for picked in torch.randperm(len(train)).split(64):
            off = (torch.rand(len(picked), 3, 1, 1) * 2 - 1) / 10  # a shade that the eye takes for the same
            optimizer.zero_grad()
            F.cross_entropy(network(scaled(train[picked]) + off), labels[picked]).backward()
            optimizer.step()
    right = [asked(network, part[:HELD_OUT]) == kind for kind, part in enumerate(kinds)]
    return network, share(torch.cat(right))


def repainted(images: Tensor) -> Tensor:
    """uint8 (N, 3, H, W) grey digits -> the same, each from one random colour to another."""
    ink, paper = torch.rand(2, len(images), 3, 1, 1)
    return (images * ink + (255 - images.float()) * paper).byte()


def small(images: Tensor) -> Tensor:
    """uint8 (N, 3, H, W) -> uint8 (N, 3, 28, 28)"""
    if images.shape[2:] == (28, 28):
        return images
    return F.interpolate(images.float(), (28, 28), mode="bilinear", antialias=True).round().byte()


@torch.no_grad()
def asked(network: nn.Module, images: Tensor) -> Tensor:
    """uint8 (N, 3, H, W) -> (N,) indices of KINDS"""
    return torch.cat([network(scaled(small(part))).argmax(1) for part in images.split(500)])


def share(hits: Tensor) -> float:
    return hits.double().mean().item()


# l1


def l1(args: argparse.Namespace) -> Numbers:
    """Of same-named pictures; of the inputs to the targets as well, which is what doing nothing gives."""
    targets, outputs = read(args.targets), read(args.outputs)
    numbers: Numbers = {"pictures": len(outputs.keys() & targets.keys()), "l1": between(outputs, targets)}
    if args.inputs:
        done = {name: picture for name, picture in read(args.inputs).items() if name in outputs}
        numbers["identity_l1"] = between(done, targets)
    return numbers


def between(pictures: dict[str, Tensor], targets: dict[str, Tensor]) -> float:
    """Raises ValueError when no two names match, or two pictures of a name differ in size."""
    names = sorted(pictures.keys() & targets.keys())
    odd = [name for name in names if pictures[name].shape != targets[name].shape]
    if not names or odd:
        raise ValueError(f"{odd[0]} is not as large as its target" if odd else "no two pictures share a name")
    return sum(distance(scaled(pictures[name]), scaled(targets[name])) for name in names) / len(names)


def distance(x: Tensor, y: Tensor) -> float:
    return (x - y).abs().mean().item()


# angles


def angles(args: argparse.Namespace) -> Numbers:
    """Mean |angle| and the share that lean by more than 10°, of real bars and of samples that show one clear bar."""
    with np.load(args.samples, allow_pickle=False) as archive:
        if "images" not in archive.files:
            raise ValueError(f"{args.samples} is not an npz of `images`, uint8 (N, H, W, C)")
        samples = archive["images"].mean(-1)  # (N, H, W)
    real = stacked(list(read(args.real, channels=1).values()), args.real)[:, 0].numpy()
    numbers: Numbers = {"pictures": len(samples)}
    for name, pictures in (("real", real), ("samples", samples)):
        angle, clear = lean(pictures)
        leaning = np.abs(angle[clear])
        numbers |= {f"{name}_clear": float(clear.mean()), f"{name}_mean": float(leaning.mean())}
        numbers |= {f"{name}_above_10": float((leaning > 10).mean())}
    return numbers


def lean(pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, H, W) bright bars -> (N,) degrees from upright, -90 to 90: the main axis of the second moments.

    And (N,) whether it is one clear bar: bright enough, and at least twice as long as it is wide.

    tan 2θ = 2 μ_xy / (μ_yy - μ_xx), of the light above halfway from the background (the median) to the brightest.
    """
    middle, brightest = np.median(pictures, (1, 2), keepdims=True), pictures.max((1, 2), keepdims=True)
    light = np.clip(pictures - (middle + brightest) / 2, 0, None)
    light = light / np.maximum(light.sum((1, 2), keepdims=True), 1e-9)
    y, x = np.mgrid[: pictures.shape[1], : pictures.shape[2]]
    y, x = (at - (light * at).sum((1, 2), keepdims=True) for at in (y, x))
    xx, yy, xy = ((light * product).sum((1, 2)) for product in (x * x, y * y, x * y))
    spread = np.hypot(yy - xx, 2 * xy)
    length, width = (xx + yy + spread) / 2, (xx + yy - spread) / 2  # variances along the main axis and across it
    clear = (length > 4 * width) & ((brightest - middle).ravel() > 50)
    return np.degrees(np.arctan2(2 * xy, yy - xx) / 2), clear


# cycle


@torch.inference_mode()
def cycle(args: argparse.Namespace) -> Numbers:
    """|F(G(a)) - a| and |G(F(b)) - b| of pictures that the run never saw, evenly spaced over the names."""
    state = load_checkpoint(args.ckpt, "CKPT")
    system = load_system(state, args.weights)
    if not isinstance(system, CycleGAN):
        raise ValueError(f"{args.ckpt} is a {type(system).__name__}, and only a CycleGAN goes there and back")
    numbers: Numbers = {"step": state["progress"]["step"]}
    for name, place, there, back in (("a", args.a, "ab", "ba"), ("b", args.b, "ba", "ab")):
        pictures = scaled(stacked(list(read(place, args.n, state["config"]["dataset"]["channels"]).values()), place))
        returned = system.generators[back](system.generators[there](pictures))
        numbers |= {f"pictures_{name}": len(pictures), f"cycle_{name}": distance(returned, pictures)}
    return numbers | {"cycle": (numbers["cycle_a"] + numbers["cycle_b"]) / 2}


# reconstruction


@torch.inference_mode()
def reconstruction(args: argparse.Namespace) -> Numbers:
    """Mean squared error of MNIST's 10,000 test digits after an autoencoder, beside that of the mean training digit."""
    state = load_checkpoint(args.ckpt, "CKPT")
    system = load_system(state)
    if not isinstance(system, VAE):
        raise ValueError(f"{args.ckpt} is a {type(system).__name__}, which encodes nothing")
    train, test = (scaled(mnist(args.data, train=train)[0]) for train in (True, False))
    error = torch.cat([(system.reconstruct(part) - part).square().mean((1, 2, 3)) for part in test.split(500)])
    mean = (train.mean(0) - test).square().mean()
    return {"step": state["progress"]["step"], "reconstructed": error.mean().item(), "mean_digit": mean.item()}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print an object")
    checks = parser.add_subparsers(required=True)
    command = {check.__name__: checks.add_parser(check.__name__, help=check.__doc__) for check in CHECKS}
    for check in CHECKS:
        command[check.__name__].set_defaults(check=check)
        command[check.__name__].add_argument("--json", action="store_true", default=argparse.SUPPRESS)
    command["domain"].add_argument("outputs")
    command["domain"].add_argument("--like", choices=("a", "b"), required=True, help="the domain translated to")
    command["domain"].add_argument("--zips", type=Path, required=True, help="where a.zip and b.zip lie")
    command["domain"].add_argument("--data", default="../shared/data", help="of the judge: see judge.py")
    command["domain"].add_argument("--judge", type=Path, default=CACHED)
    command["l1"].add_argument("outputs")
    command["l1"].add_argument("targets")
    command["l1"].add_argument("--inputs")
    command["angles"].add_argument("samples", help="an npz of `images`, uint8 (N, H, W, C)")
    command["angles"].add_argument("real", help="bars.zip")
    command["cycle"].add_argument("ckpt", help="a run's folder or a checkpoint")
    command["cycle"].add_argument("--a", required=True)
    command["cycle"].add_argument("--b", required=True)
    command["cycle"].add_argument("--n", type=int, default=20, help="pictures of each domain (%(default)s)")
    command["cycle"].add_argument("--weights", choices=("ema", "raw"), default="ema")
    command["reconstruction"].add_argument("ckpt", help="a run's folder or a checkpoint of model=vae or vaegan")
    command["reconstruction"].add_argument("--data", default="../shared/data", help="the folder that holds MNIST/raw")
    return parser.parse_args()


CHECKS = (domain, l1, angles, cycle, reconstruction)


def main() -> None:
    args = arguments()
    torch.set_num_threads(1)
    numbers = args.check(args)
    named = (f"{name.replace('_', ' ')} {round(value, 4):g}" for name, value in numbers.items())
    print(json.dumps(numbers) if args.json else ", ".join(named))


if __name__ == "__main__":
    try:
        main()
    except (OSError, ValueError, RuntimeError) as error:
        print(f"tutorial_checks.py: {error}", file=sys.stderr)
        sys.exit(2)
