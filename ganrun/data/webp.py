"""WebP: lossy compression by Pillow."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Annotated

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ganrun.common.bounds import At
from ganrun.common.images import to_uint8
from ganrun.common.pictures import open_picture
from ganrun.data.damage import Damage, ordered

Quality = Annotated[int, At(1, 100)]
FASTEST = 0  # the encoder's search for the smallest file, which costs time


class WebP(Damage):
    """WebP compression artefacts: each image is encoded and decoded on the CPU.

    quality: the range of the quality, from 1 to 100. Raises ValueError for any other quality.
    """

    photographs_only = True

    def __init__(self, quality: Annotated[Sequence[Quality], "[low, high], from 1 to 100"] = (30, 95)) -> None:
        super().__init__()
        self.quality = ordered("quality", quality, 1, 100)

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) images in [-1, 1], C = 1 or 3 -> (N, C, H, W), each encoded and decoded again."""
        low, high = map(int, self.quality)
        qualities = torch.randint(low, high + 1, (len(images),)).tolist()
        made = [squeezed(pixels, quality) for pixels, quality in zip(to_uint8(images), qualities, strict=True)]
        return torch.stack(made).to(images) / 127.5 - 1


def squeezed(pixels: Tensor, quality: int) -> Tensor:
    """(C, H, W) uint8 -> the same after WebP at this quality."""
    array = pixels.permute(1, 2, 0).contiguous().numpy()
    picture = Image.fromarray(array[:, :, 0] if len(pixels) == 1 else array)
    stored = io.BytesIO()
    picture.save(stored, format="WEBP", quality=quality, method=FASTEST)
    decoded = np.array(open_picture(stored.getvalue()).convert(picture.mode))
    return torch.from_numpy(decoded).view(*array.shape).permute(2, 0, 1)
