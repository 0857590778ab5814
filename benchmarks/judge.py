"""The judge: a small classifier of real MNIST whose features say how good drawn digits are.

python benchmarks/judge.py samples.npz [more.npz ...] [--data ROOT] [--json OUT]

Every npz holds `images`, uint8 (N, H, W, C), and for a conditional model `labels`, (N,), the digits asked for.
The judge is trained once and kept; scores of two judges do not compare, so its fingerprint stands above the table.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.datasets import MNIST

CACHED = Path("~/.cache/ganrun-bench/judge.pt")
SAMPLES = 10_000  # as many as the test set has: the Fréchet distance and coverage both depend on the number
NEIGHBOURS = 5
LEAST_ACCURACY = 0.99


class Judge(nn.Module):
    """Three convolutions, 128 features, ten digits."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *block(1, 32),  # (N, 32, 14, 14)
            *block(32, 64),  # (N, 64, 7, 7)
            *block(64, 128),  # (N, 128, 3, 3)
            nn.Flatten(),
            nn.Linear(128 * 3 * 3, 128),
            nn.ReLU(),
        )
        self.head = nn.Sequential(nn.Dropout(0.3), nn.Linear(128, 10))
        self.register_buffer("accuracy", torch.zeros(()))  # on the test set, so that the file tells it

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 1, 28, 28) images in [-1, 1] -> (N, 128) features, (N, 10) logits."""
        features = self.body(images)
        return features, self.head(features)


def block(inputs: int, outputs: int) -> list[nn.Module]:
    """A 3x3 convolution that halves the picture."""
    return [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(), nn.MaxPool2d(2)]


def mnist(root: str, train: bool) -> tuple[Tensor, Tensor]:
    """uint8 (N, 1, 28, 28) images and (N,) labels. Raises FileNotFoundError where there is no MNIST."""
    try:
        dataset = MNIST(root, train=train)
    except RuntimeError as error:
        raise FileNotFoundError(f"no MNIST/raw under --data {root}: give the folder that torchvision uses") from error
    return dataset.data[:, None], dataset.targets


def scaled(images: Tensor) -> Tensor:
    """uint8 -> [-1, 1]."""
    return images.float() / 127.5 - 1


# Training the judge


def jittered(images: Tensor) -> Tensor:
    """(N, 1, 28, 28) in [-1, 1], each turned by up to 10°, scaled by up to 10 % and moved by up to 2 pixels."""
    angle, zoom, x, y = (torch.rand(4, len(images)) * 2 - 1) * torch.tensor([[0.175], [0.1], [2 / 14], [2 / 14]])
    cos, sin = angle.cos() * (1 + zoom), angle.sin() * (1 + zoom)
    theta = torch.stack([cos, -sin, x, sin, cos, y], 1).view(-1, 2, 3)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    # + 1, - 1: what comes in from outside is 0, and the background is -1
    return F.grid_sample(images + 1, grid, align_corners=False) - 1


def train(root: str, epochs: int = 8, batch: int = 128, rate: float = 3e-3) -> Judge:
    """A judge trained on the 60,000 training images, always from the same seed."""
    torch.manual_seed(0)
    judge = Judge().to(memory_format=torch.channels_last)
    images, labels = mnist(root, train=True)
    optimizer = torch.optim.AdamW(judge.parameters(), rate, weight_decay=1e-2, fused=True)
    steps = epochs * (len(images) // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, steps)
    for epoch in range(epochs):
        for picked in torch.randperm(len(images)).split(batch)[: len(images) // batch]:
            with torch.autocast("cpu", torch.bfloat16):
                _, logits = judge(jittered(scaled(images[picked])))
            optimizer.zero_grad()
            F.cross_entropy(logits.float(), labels[picked], label_smoothing=0.05).backward()
            optimizer.step()
            schedule.step()
        print(f"judge: epoch {epoch + 1}/{epochs}, test accuracy {test_accuracy(judge, root):.2%}", file=sys.stderr)
    judge.accuracy.fill_(test_accuracy(judge, root))
    return judge.eval()


def test_accuracy(judge: Judge, root: str) -> float:
    """The share of the 10,000 test images that the judge names rightly."""
    images, labels = mnist(root, train=False)
    _, logits = look(judge, images)
    return (logits.argmax(1) == labels).double().mean().item()


def kept_judge(path: Path, root: str) -> Judge:
    """The judge at `path`; trained and written there first where there is none.

    Raises RuntimeError when the training ends under 99 % test accuracy, and ValueError for a file of another network.
    """
    if not path.exists():
        start = time.process_time()
        judge = train(root)
        print(f"judge: trained in {time.process_time() - start:.0f} CPU seconds -> {path}", file=sys.stderr)
        if judge.accuracy < LEAST_ACCURACY:
            raise RuntimeError(
                f"the judge reached {judge.accuracy:.2%} test accuracy, not {LEAST_ACCURACY:.0%}: not kept"
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        torch.save(judge.state_dict(), part)
        os.replace(part, path)
    judge = Judge()
    try:
        judge.load_state_dict(torch.load(path, weights_only=True))
    except Exception as error:  # unpickling and key errors alike: the way out is the same
        raise ValueError(f"{path} is not a judge of this script: remove it, or give another --judge") from error
    return judge.to(memory_format=torch.channels_last).eval()


def fingerprint(judge: Judge) -> str:
    """Twelve hexadecimal digits that only this judge's weights have."""
    digest = hashlib.sha256()
    for name, value in sorted(judge.state_dict().items()):
        digest.update(name.encode() + value.contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]


# Judging


@torch.no_grad()
def look(judge: Judge, images: Tensor) -> tuple[Tensor, Tensor]:
    """uint8 (N, 1, 28, 28) -> float64 features (N, 128) and logits (N, 10), in the judge's eval mode."""
    was_training = judge.training
    judge.eval()
    seen = [judge(scaled(part).to(memory_format=torch.channels_last)) for part in images.split(100)]
    judge.train(was_training)
    return torch.cat([features for features, _ in seen]).double(), torch.cat([logits for _, logits in seen]).double()


def read_samples(path: Path) -> tuple[Tensor, Tensor | None]:
    """uint8 (N, 1, 28, 28) images of an npz and its (N,) labels, if any; 10,000 of them where it holds more.

    Raises FileNotFoundError or ValueError when the file is not what the head of this script describes.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: torch.from_numpy(archive[name]) for name in ("images", "labels") if name in archive.files}
    except (ValueError, zipfile.BadZipFile, AttributeError) as error:
        raise ValueError(f"{path} is not an npz of plain arrays: {error}") from error
    images, labels = arrays.get("images"), arrays.get("labels")
    if images is None or images.dtype != torch.uint8 or images.ndim != 4 or images.shape[3] not in (1, 3):
        found = "nothing" if images is None else f"{images.dtype} {tuple(images.shape)}"
        raise ValueError(f"{path}: `images` must be uint8 (N, H, W, 1 or 3), found {found}")
    if labels is not None and len(labels) != len(images):
        raise ValueError(f"{path}: {len(labels)} labels for {len(images)} images")
    if len(images) <= NEIGHBOURS:
        raise ValueError(f"{path}: {len(images)} images are too few to judge, draw {SAMPLES:,}")
    picked = some(len(images))
    return grey28(images[picked].permute(0, 3, 1, 2)), None if labels is None else labels[picked]


def some(count: int) -> Tensor:
    """The same random 10,000 of `count` indices every time (all when there are fewer): files may be sorted by label."""
    return torch.randperm(count, generator=torch.Generator().manual_seed(0))[:SAMPLES]


def grey28(images: Tensor) -> Tensor:
    """uint8 (N, 1 or 3, H, W) -> uint8 (N, 1, 28, 28): ITU-R 601 luma, then bilinear with antialiasing."""
    if images.shape[1] == 3:
        luma = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
        images = (images * luma).sum(1, keepdim=True).round().byte()
    if images.shape[2:] != (28, 28):
        images = F.interpolate(images.float(), (28, 28), mode="bilinear", antialias=True).round().clamp(0, 255).byte()
    return images


def frechet(a: Tensor, b: Tensor) -> float:
    """|μa - μb|² + tr(Σa + Σb - 2 (Σa Σb)^½) of float64 features (N, D), (M, D) (Heusel et al., 2017, eq. 6)."""
    cov_a, cov_b = a.T.cov(), b.T.cov()
    values, vectors = torch.linalg.eigh(cov_a)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    # Σa^½ Σb Σa^½ has the eigenvalues of Σa Σb and is symmetric: they come out real
    cross = torch.linalg.eigvalsh(root @ cov_b @ root).clamp(min=0).sqrt().sum()
    return ((a.mean(0) - b.mean(0)).square().sum() + cov_a.trace() + cov_b.trace() - 2 * cross).item()


def coverage(real: Tensor, fake: Tensor, k: int = NEIGHBOURS, chunk: int = 1000) -> float:
    """The share of reals (N, D) with a fake (M, D) nearer than their k-th real (Naeem et al., 2020, eq. 6)."""
    covered = 0
    for part in real.split(chunk):
        radius = torch.cdist(part, real).kthvalue(k + 1, dim=1).values  # + 1: the nearest is the image itself
        covered += (torch.cdist(part, fake).amin(1) < radius).sum().item()
    return covered / len(real)


def row(judge: Judge, real: Tensor, name: str, images: Tensor, labels: Tensor | None) -> dict:
    """Everything the table says of one set of images, `real` being the test set's features."""
    features, logits = look(judge, images)
    digits = logits.argmax(1)
    shares = (digits.bincount(minlength=10) / len(digits)).tolist()
    return {
        "file": name,
        "n": len(images),
        "frechet": frechet(features, real),
        "coverage": coverage(real, features),
        "confidence": logits.softmax(1).amax(1).mean().item(),
        "agreement": None if labels is None else (digits == labels).double().mean().item(),
        "least_share": min(shares),
        "shares": shares,
    }


def table(rows: list[dict]) -> str:
    """Markdown; shares are in percent."""
    head = ["file", "n", "Fréchet", "coverage", "confidence", "label agreement", "**least %**", *map(str, range(10))]
    lines = [head, ["---", *["---:"] * (len(head) - 1)]]
    for r in rows:
        agreement = "–" if r["agreement"] is None else f"{r['agreement']:.2%}"
        scores = [f"{r['frechet']:.2f}", f"{r['coverage']:.3f}", f"{r['confidence']:.3f}", agreement]
        shares = [f"{100 * share:.1f}" for share in r["shares"]]
        lines.append([r["file"], f"{r['n']}", *scores, f"**{100 * r['least_share']:.1f}**", *shares])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("samples", nargs="*", type=Path, help="npz files; none: only the floor")
    parser.add_argument("--data", default="../shared/data", help="the folder that holds MNIST/raw (%(default)s)")
    parser.add_argument("--judge", type=Path, default=CACHED, help="where the judge is kept (%(default)s)")
    parser.add_argument("--json", type=Path, help="write the rows and their protocol here as well")
    parser.add_argument("--threads", type=int, default=1, help="%(default)s")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    torch.set_num_threads(args.threads)
    judge = kept_judge(args.judge.expanduser(), args.data)
    sets = [(path.name, *read_samples(path)) for path in args.samples]
    images, labels = mnist(args.data, train=True)
    picked = some(len(images))
    sets.append(("real training images", images[picked], labels[picked]))
    real, _ = look(judge, mnist(args.data, train=False)[0])
    rows = [row(judge, real, *named) for named in sets]
    mark, accuracy = fingerprint(judge), judge.accuracy.item()
    print(f"judge {mark}, {accuracy:.2%} on the test set; against {len(real)} test images, k = {NEIGHBOURS}\n")
    print(table(rows))
    if args.json:
        protocol = {"judge": mark, "accuracy": accuracy, "real": "MNIST test", "n_real": len(real), "k": NEIGHBOURS}
        args.json.write_text(json.dumps({"protocol": protocol, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    try:
        main()
    except (OSError, ValueError, RuntimeError) as error:
        print(f"judge.py: {error}", file=sys.stderr)
        sys.exit(2)
