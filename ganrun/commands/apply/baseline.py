"""`model=bicubic|lanczos|nearest`: enlarges pictures without a network, as the baseline for the same table."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ganrun.systems.translation import PictureToPicture

FILTERS = {
    "bicubic": Image.Resampling.BICUBIC,  # a = -0.5, as in the papers on super-resolution
    "lanczos": Image.Resampling.LANCZOS,
    "nearest": Image.Resampling.NEAREST,
}


class Baseline(PictureToPicture):
    """Enlarges a picture `scale` times by a filter of Pillow, in float32."""

    def __init__(self, name: str, scale: int) -> None:
        super().__init__()
        self.filter, self.scale = FILTERS[name], scale

    def translate(self, images: Tensor, direction: str | None = None) -> Tensor:
        """(N, C, h, w) -> (N, C, scale·h, scale·w)."""
        if direction is not None:
            raise ValueError(f"direction={direction}: a filter enlarges in one direction only")
        height, width = images.shape[2:]
        size = (self.scale * width, self.scale * height)
        planes = [self.enlarged(plane, size) for plane in images.flatten(0, 1).cpu().numpy()]
        return torch.from_numpy(np.stack(planes)).view(*images.shape[:2], *size[::-1])

    def enlarged(self, plane: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        return np.asarray(Image.fromarray(plane).resize(size, self.filter))
