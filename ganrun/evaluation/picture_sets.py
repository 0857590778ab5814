"""Reads a folder, a .zip or an .npz of `ganrun sample` as pictures of one size. Resizes them only on request."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ganrun.common.errors import UserError
from ganrun.common.limits import SETTING, SIDE
from ganrun.data.dataset import Dataset, Size, as_size
from ganrun.data.folder import Folder
from ganrun.data.listing import channels_of, list_images, probed
from ganrun.data.resize import resized_images
from ganrun.evaluation.features.extractor import BATCH
from ganrun.evaluation.npz_files import Packed, opened

COLOURS = {1: "grey", 3: "colour"}
RESIZE = "bicubic, the short side scaled and the centre cut"


def read_set(place: object, key: str, image_size: Size | None, channels: int | None) -> tuple[Dataset, str]:
    """The pictures at `place`, and a phrase that says how they were resized ("none": they were not).

    image_size: (height, width) in pixels; None keeps the size of the pictures, which must then all have the same size.
    channels: 1 or 3; None keeps the colours of the pictures.
    Raises UserError, which names `key`, when they cannot be read or differ in size.
    """
    path = Path(str(place)).expanduser()
    try:
        if path.suffix.lower() == ".npz":
            return from_arrays(path, image_size, channels)
        return from_tree(path, image_size, channels)
    except UserError as error:
        raise UserError(f"{key}={place}: {error}") from None
    except (ValueError, OSError) as error:
        said = str(error).replace("dataset.root", key, 1).replace("dataset.", "")
        raise UserError(said if said.startswith(f"{key}=") else f"{key}={place}: {said}") from None


def from_tree(path: Path, image_size: Size | None, channels: int | None) -> tuple[Dataset, str]:
    """`read_set` for a folder or a .zip."""
    listing = list_images(path)
    probes = probed(listing)
    sizes = sorted({(probe.size[1], probe.size[0]) for probe in probes})
    if image_size is None and len(sizes) > 1:
        raise UserError(
            f"its pictures differ in size ({times(sizes[0])}, {times(sizes[-1])}): "
            f"{way_out(sizes[0])} resizes all to one size ({RESIZE})"
        )
    size = as_size(image_size) if image_size is not None else sizes[0] if sizes else (1, 1)
    data = Folder(str(path), image_size=list(size), channels=channels or channels_of(probes))
    return data, "none" if sizes == [size] else f"{RESIZE}, to {times(size)}"


def from_arrays(path: Path, image_size: Size | None, channels: int | None) -> tuple[Dataset, str]:
    """`read_set` for an .npz."""
    images, labels = arrays(path)
    size, depth = tuple(images.shape[2:]), images.shape[1]
    wanted, planes = as_size(image_size) if image_size is not None else (size[0], size[1]), channels or depth
    if (wanted, planes) != (size, depth):
        images = resized_images(images, wanted, planes)
    names: list[str] = []
    if labels is not None:  # count the classes that occur: a single label 10**6 must not make a million classes
        numbers, labels = labels.unique(return_inverse=True)
        names = [str(number) for number in numbers.tolist()]
    return Dataset(images, labels, names), "none" if wanted == size else f"bicubic, to {times(wanted)}"


def arrays(path: Path) -> tuple[Tensor, Tensor | None]:
    """(N, C, H, W) uint8 images, and (N,) int64 labels or None. Nothing in the file is unpickled.

    Raises UserError for arrays of another shape or type, ValueError for a damaged file, OSError for an unreadable one.
    """
    with opened(path) as packed:
        if "images" not in packed:
            raise UserError("it holds no `images`: uint8 (N, H, W, C), as ganrun sample writes them")
        kind = packed.kind("images")
        if kind.dtype != np.uint8 or len(kind.shape) != 4 or kind.shape[3] not in (1, 3):
            raise UserError(f"its images are {kind.dtype} {list(kind.shape)!s:.80}, not uint8 (N, H, W, 1 or 3)")
        if 0 in kind.shape:
            raise UserError("it holds no pictures")
        if max(kind.shape[1:3]) > SIDE:
            raise UserError(f"its pictures are {times(kind.shape[1:3])}, larger than {SIDE} pixels a side")
        labels = classes(packed, kind.shape[0]) if "labels" in packed else None
        images = packed.read("images")
    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(), labels


def classes(packed: Packed, count: int) -> Tensor:
    """(N,) int64 labels, N = `count`. Raises UserError when they are not class numbers."""
    kind = packed.kind("labels")
    if kind.dtype.kind not in "iu" or kind.shape != (count,):
        raise UserError(f"its labels are {kind.dtype} {list(kind.shape)!s:.80}, not {count} class numbers")
    labels = packed.read("labels")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= SETTING:
        raise UserError(f"its labels go from {low} to {high}: class numbers go from 0 to {SETTING - 1}")
    return torch.from_numpy(labels.astype(np.int64))


def refuse_unlike(real: Dataset, fake: Dataset) -> None:
    """Raises UserError when the two sets differ in image size or channels."""
    mine, theirs = ((*data.image_size, data.channels) for data in (real, fake))
    if mine != theirs:
        raise UserError(
            f"real= has {COLOURS[mine[2]]} pictures of {times(mine[:2])}, fake= {COLOURS[theirs[2]]} ones of "
            f"{times(theirs[:2])}: {way_out(mine[:2])} channels={mine[2]} makes both alike ({RESIZE})"
        )


def learnt_from(place: object, real: Dataset) -> tuple[Dataset | None, list[str]]:
    """The pictures at `place`, in the size and colour of the reals, and lines to tell the user; None, [] for None.

    Raises UserError when they cannot be read, when there are fewer than two different ones, or when half of them, or
    half of the reals, are in both sets.
    """
    if place is None:
        return None, []
    data, _ = read_set(place, "train", real.image_size, real.channels)
    mine, theirs = set(hashes(data)), set(hashes(real))
    common = len(mine & theirs)
    if len(mine) < 2:
        raise UserError(f"train={place} must hold at least two different pictures")
    if 2 * common >= min(len(mine), len(theirs)):
        raise UserError(
            f"train={place}: {common} of its pictures are also in real=, and copies show only beside real "
            "pictures that nobody learnt from"
        )
    told = f"train={place}: {common} of its pictures are also in real=; the score copying leaves them out of real="
    return Dataset(data.images), [told] if common else []


def among(data: Dataset, others: Dataset) -> Tensor:
    """(N,) bool: whether each picture of `data` is one of `others`."""
    known = set(hashes(others))
    return torch.tensor([picture in known for picture in hashes(data)])


def hashes(data: Dataset) -> list[int]:
    """A hash of each picture."""
    parts = torch.arange(len(data), device=data.device).split(BATCH)
    return [hash(image.cpu().numpy().tobytes()) for part in parts for image in data.take(part)["image"]]


def like_reals(real: Dataset, fake: Dataset) -> Tensor | None:
    """(N,) int64: the labels of the fakes as class numbers of the reals, matched by class name.

    None when one of the sets has no labels, or when a class of the fakes is not a class of the reals.
    """
    if real.labels is None or fake.labels is None:
        return None
    places = {name: number for number, name in enumerate(real.class_names)}
    if not set(fake.class_names) <= places.keys():
        return None
    return torch.tensor([places[name] for name in fake.class_names])[fake.labels]


def times(size: tuple[int, ...]) -> str:
    """(28, 32) -> "28×32"."""
    return "×".join(map(str, size))


def way_out(size: tuple[int, ...]) -> str:
    """The option that sets this size, as the user types it."""
    return f"image_size={size[0] if size[0] == size[1] else f'[{size[0]},{size[1]}]'}"
