"""How much memory a picture needs on its way, as its header says, before anything of it is decoded."""

from __future__ import annotations

import torch

from ganrun.common.headers import Header, header_of
from ganrun.data.dataset import free_on

LEAST, SHARE = 2**30, 0.25  # bytes of the pictures on their way: a share of the free memory, and at least so many
INPUT, OUTPUT, TARGET = 12, 16, 100  # bytes for each value: copies in float32; ten maps in float64 where it is scored
MOST = 2**30  # values of an output: 4 GiB in float32


def room() -> int:
    """Bytes that the pictures on their way may need together."""
    return max(LEAST, int(SHARE * free_on(torch.device("cpu"))))


def needed(data: bytes, target: bytes | None, scale: int) -> tuple[int, int]:
    """(pixels of the input, bytes that it needs on its way). Raises ValueError for an output of too many values.

    scale: how many times the model enlarges. Any exception of Pillow or tifffile says that it is no picture.
    """
    header = header_of(data)
    width, height = header.size
    made = values(header) * scale**2
    if made > MOST:
        raise ValueError(
            f"its output would have {scale * width}x{scale * height} pixels, more than {MOST // 10**6} million values"
        )
    wanted = 0 if target is None else len(target) + TARGET * made
    return width * height, len(data) + INPUT * values(header) + OUTPUT * made + wanted


def values(header: Header) -> int:
    """Of a decoded picture: a grey one may become colour, and it may have alpha."""
    return header.size[0] * header.size[1] * (max(3, header.channels) + 1)
