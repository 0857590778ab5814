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

CAPTION = 12  # pixels of height
SMALLEST_CELL = 64  # pixels: smaller pictures are enlarged by a whole factor so that people can see them


def to_uint8(images: Tensor) -> Tensor:
    """(N, C, H, W) float in [-1, 1] -> the same shape in uint8, on the CPU, values outside clipped."""
    return images.detach().float().add(1).mul(127.5).round_().clamp_(0, 255).to("cpu", torch.uint8)


def grid(images: Tensor, columns: int, captions: Sequence[str] | None = None) -> Tensor:
    """(N, C, H, W) uint8 -> (C, rows, columns) uint8: one picture, small images enlarged by a whole factor.

    A caption is written under each image, where captions are given.
    """
    scale = max(1, SMALLEST_CELL // max(images.shape[2:]))
    large = images.repeat_interleave(scale, 2).repeat_interleave(scale, 3)
    if captions is not None:
        strips = torch.stack([_caption(text, large.shape[3]) for text in captions])
        large = torch.cat([large, strips.expand(-1, large.shape[1], -1, -1)], dim=2)
    return make_grid(large, nrow=columns, padding=2)


def _caption(text: str, width: int) -> Tensor:
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
) -> Tensor:
    """(N, C, H, W) uint8 -> a grid PNG at `path`; returns the grid, (C, rows, columns) uint8.

    Its header tells how many columns and rows it has, so that cells can be cut out again. With `inside`, a run's
    folder, those between it and `path` are made; it is not: a folder that was removed does not come back as a half.
    """
    picture = grid(images, columns, captions)
    text = {**(text or {}), "columns": min(columns, len(images)), "rows": -(-len(images) // columns)}
    if inside is None:
        make_folder(path.parent, parents=False)
    write_bytes(path, png_bytes(picture, text), inside)
    return picture


def save_each(images: Tensor, folder: Path, text: Mapping[str, object] | None = None, first: int = 0) -> None:
    """(N, C, H, W) uint8 -> folder/000000.png, 000001.png, ..., counted from `first`."""
    for number, image in enumerate(torch.unbind(images), first):
        save_png(image, folder / f"{number:06d}.png", text, folder)


def enlarged_to(picture: Tensor, like: Tensor) -> Tensor:
    """A picture (1, C, h, w) uint8 enlarged to the size of `like`, bicubic; itself when it has that size."""
    if picture.shape == like.shape:
        return picture
    enlarged = F.interpolate(picture.float(), size=like.shape[2:], mode="bicubic")
    return enlarged.round().clamp(0, 255).to(torch.uint8)
