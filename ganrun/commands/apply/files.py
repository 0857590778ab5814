"""The files of `ganrun apply`: reads a picture of the user, and writes what the network made of it, as it came.

The output has the depth, alpha, profile and metadata of the input.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ganrun.common import images
from ganrun.common.atomic import make_folder, write_bytes
from ganrun.common.encoding import encoded
from ganrun.common.pixels import About, read_whole
from ganrun.data.channels import Span, full_span, recoloured, scaled
from ganrun.data.decode import resized


class Read(NamedTuple):
    """A picture as its file has it."""

    pixels: Tensor  # (1, C, H, W) uint8 or uint16, or float32 in [-1, 1] for numbers of another range
    colour: bool  # whether the file has colours, which is of interest to a network of 1 or 3 channels
    alpha: np.ndarray | None  # (H, W) of the file's type, which the network does not see
    about: About  # the file
    span: Span | None  # the numbers of the file that are black and white


def read_picture(data: bytes, channels: int | None, span: Span | None = None, to_srgb: bool = False) -> Read:
    """An encoded picture -> its pixels in its own size and depth, with as many channels as the network has.

    channels: None: one for a grey picture, three for a picture in colour. to_srgb: as in training, colours of another
    profile become sRGB, and the profile is forgotten. A network of 2 or 4 channels also gets the alpha of grey or
    colour pictures; for others it is carried along.
    Raises ValueError, or any exception of Pillow or tifffile, when the bytes are not a complete picture.
    """
    whole = read_whole(data, to_srgb)
    values, alpha, given = whole.values, whole.alpha, whole.values.shape[2]
    if channels is None:
        channels = given if given in (1, 3) else 3
    kind = values.dtype if span is None and values.dtype in (np.uint8, np.uint16) else np.dtype(np.float32)
    pixels = scaled(values, kind, span)
    if channels in (2, 4) and given in (1, 3):
        opaque = np.full(values.shape[:2], np.iinfo(np.uint8).max, np.uint8) if alpha is None else alpha
        seen = scaled(opaque, kind, full_span(opaque.dtype))[:, :, None]
        pixels, alpha = np.concatenate([recoloured(pixels, channels - 1), seen], axis=2), None
    elif given != channels and (given not in (1, 3) or channels not in (1, 3)):
        raise ValueError(f"it has {given} channel{'s' * (given > 1)}, and the model was trained on {channels}")
    pixels = recoloured(pixels, channels)
    tensor = torch.from_numpy(np.array(pixels.transpose(2, 0, 1), order="C"))[None]  # a copy that torch may write
    return Read(tensor, given == 3 and channels in (1, 3), alpha, whole.about, span)


def for_network(pixels: Tensor) -> Tensor:
    """(N, C, h, w) as `Read` has them -> the same shape, float32 in [-1, 1], on the same device."""
    return images.to_unit(pixels)


def from_network(drawn: Tensor, like: Read) -> Tensor:
    """(1, C, H, W) float in [-1, 1] -> the same shape on the CPU, in the type of the pixels of `like`."""
    return images.from_unit(drawn, like.pixels.dtype)


def write_picture(pixels: Tensor, path: Path, about: Mapping[str, object], inside: Path | None, like: Read) -> None:
    """(1, C, H, W) pixels -> a file at `path`, whose header has `about`. `like` is the picture that they were made of.

    The folders between `inside`, which the user named, and `path` are made. Raises OSError, and ValueError for a kind
    of file that cannot hold such pixels.
    """
    values = pixels[0].permute(1, 2, 0).numpy()
    if values.dtype == np.float32:
        values = in_span(values, like)
    alpha = like.alpha
    if alpha is not None:
        height, width = values.shape[:2]
        alpha = scaled(alpha, values.dtype, None) if alpha.dtype != values.dtype else alpha
        alpha = resized(alpha[:, :, None], (width, height))[:, :, 0]
    content = encoded(values, alpha, like.about, path.suffix.lower(), about)
    make_folder(inside or path.parent)
    write_bytes(path, content, inside)


def write_strip(panels: Sequence[Tensor], path: Path, about: Mapping[str, object], inside: Path | None) -> None:
    """Pictures (1, C, h, w) of any type side by side in 8 bits, as large as the largest, as a .png.

    Raises OSError.
    """
    large = max(panels, key=lambda panel: panel.shape[3])
    shown = [images.shown(images.enlarged_to(panel, large)) for panel in panels]
    images.save_png(torch.cat(shown, dim=3)[0], path.with_suffix(".png"), about, inside)


def in_span(values: np.ndarray, like: Read) -> np.ndarray:
    """Numbers in [-1, 1] -> those of the file, of its type."""
    low, high = like.span or full_span(like.about.kind)
    numbers = (values.astype(np.float64) + 1) * ((high - low) / 2) + low
    kind = like.about.kind
    if kind.kind == "f":
        return numbers.astype(kind)
    return np.rint(numbers).clip(np.iinfo(kind).min, np.iinfo(kind).max).astype(kind)


def suffix_for(name: str, kind: str, channels: int, span: Span | None) -> str:
    """The suffix of an output. kind: png, tiff or keep, the suffix of the input where it can hold the output.

    Pictures of many channels, and those with a range of their own, become .tif, whatever `kind` says.
    """
    suffix = Path(name).suffix.lower()
    if span is not None or not 1 <= channels <= 4:
        return suffix if kind == "keep" and suffix in (".tif", ".tiff", ".npy") else ".tif"
    if kind == "keep":
        return suffix if suffix in KEPT else ".png"
    return ".tif" if kind == "tiff" else ".png"


KEPT = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".npy")
