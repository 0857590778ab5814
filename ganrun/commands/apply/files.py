"""The files of `ganrun apply`: reads a picture of the user, and writes what the network made of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from ganrun.common import images
from ganrun.data.decode import decode_whole


class Read(NamedTuple):
    """A picture as its file has it."""

    pixels: Tensor  # (1, C, H, W) uint8
    colour: bool  # whether the file has colours


def read_picture(data: bytes, channels: int) -> Read:
    """An encoded picture -> its pixels in its own size.

    Raises ValueError, or any exception of Pillow, when the bytes are not a complete picture.
    """
    pixels, colour = decode_whole(data, channels)
    return Read(torch.from_numpy(pixels.copy())[None], colour)


def for_network(pixels: Tensor) -> Tensor:
    """(N, C, h, w) as `Read` has them -> the same shape, float32 in [-1, 1], on the same device."""
    return pixels.float() / 127.5 - 1


def from_network(drawn: Tensor, like: Read) -> Tensor:
    """(1, C, H, W) float in [-1, 1] -> the same shape on the CPU, in the type of the pixels of `like`."""
    return images.to_uint8(drawn)


def write_picture(pixels: Tensor, path: Path, about: Mapping[str, object], inside: Path | None, like: Read) -> None:
    """(1, C, H, W) pixels -> a file at `path`, whose header has `about`. `like` is the picture that they were made of.

    The folders between `inside`, which the user named, and `path` are made. Raises OSError.
    """
    images.save_png(pixels[0], path, about, inside)
