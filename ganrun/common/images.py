"""Images: from [-1, 1] to uint8, PNG files and grids."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngInfo
from torch import Tensor
from torchvision.utils import make_grid

from ganrun.common.atomic import make_folder, write_bytes
from ganrun.common.errors import UserError

CAPTION = 12  # pixels of height
PLOT, DOT = 512, 3  # pixels of a scatter plot's side, and of a dot's
BEHIND, FRONT, FRAME = (255.0, 205.0, 140.0), (20.0, 40.0, 120.0), (160.0, 160.0, 160.0)  # colours
SMALLEST_CELL = 64  # pixels: smaller pictures are enlarged by a whole factor so that people can see them


def are_points(images: Tensor) -> bool:
    """Whether these are points, not pictures: a single pixel, whose channels are coordinates, and no whole bytes."""
    return images.shape[2:] == (1, 1)


def stored(images: Tensor) -> Tensor:
    """(N, C, H, W) float in [-1, 1] -> as a data set stores them, on the CPU: uint8, and float32 for points."""
    return images.detach().float().cpu() if are_points(images) else to_uint8(images)


def to_uint8(images: Tensor) -> Tensor:
    """(N, C, H, W) float in [-1, 1] -> the same shape in uint8, on the CPU, values outside clipped."""
    return images.detach().float().add(1).mul(127.5).round_().clamp_(0, 255).to("cpu", torch.uint8)


KERNEL = "bicubic, a = -0.5"  # of `bicubic`, in which an input is enlarged for a score, a strip or a log
HALF = {torch.uint8: 127.5, torch.uint16: 32767.5}  # half of white, by the type in which pictures are stored


def to_unit(pixels: Tensor) -> Tensor:
    """(N, C, H, W) uint8, uint16 or float32 in [-1, 1] -> the same shape, float32 in [-1, 1]."""
    return pixels.float() / HALF[pixels.dtype] - 1 if pixels.dtype in HALF else pixels.float()


def eight_bits(pixels: Tensor) -> Tensor:
    """(N, C, H, W) of any type -> the same shape in uint8."""
    return pixels if pixels.dtype == torch.uint8 else to_uint8(to_unit(pixels))


def shown(pixels: Tensor) -> Tensor:
    """(N, C, H, W) of any type and any channels -> uint8 of 1 or 3 channels, to be looked at.

    Of two channels the first is shown, as grey, and of more the first three, as colours.
    """
    eight = eight_bits(pixels)
    return eight if eight.shape[1] in (1, 3) else eight[:, :3] if eight.shape[1] > 3 else eight[:, :1]


def from_unit(images: Tensor, dtype: torch.dtype) -> Tensor:
    """The other way, on the CPU: values outside are clipped, and whole numbers are rounded."""
    if dtype == torch.uint8:
        return to_uint8(images)
    if dtype == torch.uint16:  # by way of int32: torch clips and rounds few things in uint16
        wide = images.detach().float().cpu().add(1).mul(32767.5).round_().clamp_(0, 65535)
        return wide.to(torch.int32).to(torch.uint16)
    return images.detach().float().cpu().clamp(-1, 1)


def grid(images: Tensor, columns: int, captions: Sequence[str] | None = None, behind: Tensor | None = None) -> Tensor:
    """(N, C, H, W) uint8 -> (C, rows, columns) uint8: one picture, small images enlarged by a whole factor.

    A caption is written under each image, where captions are given. Points (N, C, 1, 1) float make one scatter plot,
    without captions, over those `behind` them, which pictures do not have.
    """
    if are_points(images):
        return scatter(images, behind)
    images = shown(images)
    scale = max(1, SMALLEST_CELL // max(images.shape[2:]))
    large = images.repeat_interleave(scale, 2).repeat_interleave(scale, 3)
    if captions is not None:
        strips = torch.stack([caption(text, large.shape[3]) for text in captions])
        large = torch.cat([large, strips.expand(-1, large.shape[1], -1, -1)], dim=2)
    return make_grid(large, nrow=columns, padding=2)


def scatter(points: Tensor, behind: Tensor | None = None) -> Tensor:
    """(N, C, 1, 1) points in [-1, 1] -> (3, S, S) uint8: the first two coordinates, x to the right and y upwards.

    The darker a dot, the more points it stands for. Points outside the square are drawn on its edge. `behind`: other
    points, in a light colour behind them, such as real ones.
    """
    picture = torch.full((3, PLOT, PLOT), 255.0)
    for shown, colour in ((behind, BEHIND), (points, FRONT)):
        if shown is not None:
            counts = F.max_pool2d(dots(shown)[None], DOT, stride=1, padding=DOT // 2)[0]
            ink = (counts > 0) * (0.5 + 0.5 * (counts.log1p() / counts.max().clamp_min(1).log1p()))
            picture = picture + ink * (torch.tensor(colour)[:, None, None] - picture)
    edge = torch.tensor(FRAME)[:, None]
    picture[:, 0], picture[:, -1], picture[:, :, 0], picture[:, :, -1] = edge, edge, edge, edge
    return picture.round().to(torch.uint8)


def dots(points: Tensor) -> Tensor:
    """(N, C, 1, 1) points -> (1, S, S) how many lie in each cell of the square; points of one coordinate on a line."""
    flat = points.flatten(1).float().cpu()
    x, y = flat[:, 0], flat[:, 1] if flat.shape[1] > 1 else torch.zeros(len(flat))
    cells = [((1 + side) / 2 * (PLOT - 1)).round().nan_to_num(0).clamp(0, PLOT - 1).long() for side in (x, -y)]
    return torch.bincount(cells[1] * PLOT + cells[0], minlength=PLOT * PLOT).float().view(1, PLOT, PLOT)


def caption(text: str, width: int) -> Tensor:
    """(1, 12, width) uint8: white on black."""
    strip = Image.new("L", (width, CAPTION))
    ImageDraw.Draw(strip).text((2, 0), text, fill=255)
    return torch.frombuffer(bytearray(strip.tobytes()), dtype=torch.uint8).view(1, CAPTION, width)


def columns_for(count: int, labels: Tensor | None = None) -> int:
    """A row for each class where labels are given; else as square as it gets: 64 -> 8, 10 -> 4."""
    if labels is not None and len(labels.unique()) > 1:
        return max(1, -(-count // len(labels.unique())))
    return max(1, round(count**0.5 + 0.499))


def png_bytes(image: Tensor, text: Mapping[str, object] | None = None) -> bytes:
    """(C, H, W) uint8 with one or three channels -> a PNG that carries `text` (step, seed, ...) in its header."""
    info = PngInfo()
    for key, value in (text or {}).items():
        info.add_text(str(key), str(value))
    array = image.permute(1, 2, 0).contiguous().numpy()
    picture = Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array)
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", pnginfo=info)
    return buffer.getvalue()


def save_png(image: Tensor, path: Path, text: Mapping[str, object] | None = None, inside: Path | None = None) -> None:
    """The same as a file; its folders are made. Between `inside`, which the user named, and `path` no link is followed.

    Raises OSError.
    """
    make_folder(inside or path.parent)
    write_bytes(path, png_bytes(image, text), inside)


def save_grid(
    images: Tensor,
    path: Path,
    columns: int,
    text: Mapping[str, object] | None = None,
    captions: Sequence[str] | None = None,
    inside: Path | None = None,
    behind: Tensor | None = None,
) -> Tensor:
    """(N, C, H, W) uint8 -> a grid PNG at `path`; returns the grid, (C, rows, columns) uint8.

    Its header tells how many columns and rows it has, so that cells can be cut out again; a scatter plot of points is
    one cell. With `inside`, a run's
    folder, those between it and `path` are made; it is not: a folder that was removed does not come back as a half.
    """
    picture = grid(images, columns, captions, behind)
    across, cells = (1, 1) if are_points(images) else (min(columns, len(images)), len(images))
    text = {**(text or {}), "columns": across, "rows": -(-cells // across)}
    if inside is None:
        make_folder(path.parent, parents=False)
    write_bytes(path, png_bytes(picture, text), inside)
    return picture


def save_each(images: Tensor, folder: Path, text: Mapping[str, object] | None = None, first: int = 0) -> None:
    """(N, C, H, W) uint8 -> folder/000000.png, 000001.png, ..., counted from `first`. Raises UserError for points."""
    if are_points(images):
        raise UserError("points are no pictures: out=x.png plots them, out=x.npz has their numbers")
    for number, image in enumerate(torch.unbind(images), first):
        save_png(image, folder / f"{number:06d}.png", text, folder)


def enlarged_to(picture: Tensor, like: Tensor) -> Tensor:
    """A picture (1, C, h, w) enlarged to the size of `like`, by `bicubic`; itself when it has that size. Any type."""
    if picture.shape[2:] == like.shape[2:]:
        return picture
    if picture.dtype != torch.uint8:
        return from_unit(bicubic(to_unit(picture), like), picture.dtype)
    return bicubic(picture.float(), like).round().clamp(0, 255).to(torch.uint8)


def bicubic(images: Tensor, like: Tensor) -> Tensor:
    """(N, C, h, w) float -> (N, C, H, W), the size of `like`; themselves when they have that size.

    The kernel is that of Pillow and of papers on super-resolution: KERNEL. Torch has it only with `antialias`, which
    changes nothing else where pictures are enlarged; without it, a = -0.75.
    """
    size = like.shape[2:]
    return images if images.shape[2:] == size else F.interpolate(images, size=size, mode="bicubic", antialias=True)
