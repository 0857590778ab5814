"""Damage sheet: a picture that shows what the damage of a data set does, with the PSNR of each draw."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ganrun.common.atomic import make_folder
from ganrun.common.errors import UserError
from ganrun.common.images import enlarged_to, save_grid, to_uint8
from ganrun.common.pictures import open_picture
from ganrun.common.seeding import Purpose, mix, reseed
from ganrun.data.damage import Damage
from ganrun.data.damaged import Damaged
from ganrun.data.loading.stream import prepare
from ganrun.evaluation.metrics.fidelity import psnr

PICTURES, DRAWS = 4, 5  # rows, and columns beside the clean picture
SMALLEST, LARGEST = 160, 256  # pixels of a cell: room for the caption; larger pictures are cropped
MADE_BY = "ganrun doctor"  # in the header of the file


@dataclass(frozen=True)
class Cell:
    """One picture of the sheet: (C, S, S) uint8, and what stands under it."""

    picture: Tensor
    caption: str
    psnr: float = float("inf")  # decibels, of the source against the target


def save_sheet(data: Damaged, path: Path, seed: int) -> list[float]:
    """Rows: pictures; columns: the clean one, then draws of the damage. Below them, one draw of each kind of damage.

    Returns the PSNR of the draws in decibels. The damage is a function of the seed alone.
    """
    some = torch.linspace(0, len(data) - 1, min(PICTURES, len(data))).long()  # neighbours are often alike
    clean = prepare(data.take(some.to(data.device)), data.device)["target"]
    columns: list[list[Cell]] = [[Cell(shown(image, image), "clean") for image in clean]]
    for draw in range(DRAWS):
        reseed(mix(seed, Purpose.DAMAGE), draw)
        columns.append(cells(data.damage, clean))
    draws = [cell for row in zip(*columns, strict=True) for cell in row]
    kinds = list(cells_of_kinds(data, clean[:1], seed))
    kinds += [Cell(torch.zeros_like(draws[0].picture), "")] * (-len(kinds) % len(columns))
    every = draws + kinds
    text = {"made by": MADE_BY, "damage": data.name, "seed": seed}
    pictures = torch.stack([cell.picture for cell in every])
    make_folder(path.parent)
    save_grid(pictures, path, len(columns), text, [cell.caption for cell in every])
    return [cell.psnr for column in columns[1:] for cell in column]


def cells(damage: Damage, clean: Tensor, name: str = "") -> list[Cell]:
    """(N, C, H, W) clean pictures in [-1, 1] -> a cell for each, damaged."""
    source = damage.added(clean)["source"]
    target = to_uint8(clean)
    alike = enlarged_to(to_uint8(source), target).float() / 127.5 - 1
    values = psnr(alike, target.float() / 127.5 - 1).tolist()
    return [
        Cell(shown(image, whole), f"{name} {value:.1f} dB".lstrip(), value)
        for image, whole, value in zip(source, clean, values, strict=True)
    ]


def cells_of_kinds(data: Damaged, clean: Tensor, seed: int) -> Iterator[Cell]:
    """(1, C, H, W): one draw of each kind of damage that these pictures can have."""
    for number, (name, damage) in enumerate(data.damages.items()):
        if damage.fits(data.channels, data.image_size):
            reseed(mix(seed, Purpose.DAMAGE), DRAWS + number)
            yield from cells(damage, clean, name)


def shown(image: Tensor, whole: Tensor) -> Tensor:
    """(C, h, w) in [-1, 1] -> uint8 in the size of the cell of `whole`: every pixel a square, or the centre cut out."""
    pixels = to_uint8(image[:3] if len(image) >= 3 else image[:1])
    factor = whole.shape[1] // image.shape[1] * max(1, -(-SMALLEST // whole.shape[2]))
    large = F.interpolate(pixels[None], scale_factor=factor)[0]
    top, left = (max(0, side - LARGEST) // 2 for side in large.shape[1:])
    return large[:, top : top + LARGEST, left : left + LARGEST]


def check_place(path: Path) -> None:
    """Raises UserError for another suffix, and where a file stands that `ganrun doctor` did not make."""
    if path.suffix.lower() != ".png" or path.is_dir():
        raise UserError(f"doctor.sheet={path} must be a file that ends in .png, or null")
    if path.exists() and not made_here(path):
        raise UserError(f"doctor.sheet={path} exists, and doctor did not make it: choose another name")


def made_here(path: Path) -> bool:
    try:
        return open_picture(path).info.get("made by") == MADE_BY
    except (OSError, ValueError):
        return False
