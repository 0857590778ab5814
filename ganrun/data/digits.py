"""Digits: 1,797 real handwritten digits, which are part of the package (see DIGITS.md)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from ganrun.common.bounds import Count, Positive, Whole
from ganrun.data.dataset import Dataset, Size
from ganrun.data.resize import resized_images

DIGITS = Path(__file__).with_name("digits.npz")
HALF = 898  # the file is ordered by writer, so most writers of the test half are not in the training half
SPLITS = {"train": slice(HALF), "test": slice(HALF, None), "all": slice(None)}
LEVELS = 16  # the largest value of a pixel: it counts the black dots in a 4×4 block of the scan


class Digits(Dataset):
    """Digits of 8×8 pixels in ten classes, enlarged to `image_size`.

    Source: Optical Recognition of Handwritten Digits (Alpaydin and Kaynak, UCI, 1998), CC BY 4.0.
    Raises ValueError when `split` is not train, test or all.
    """

    sided = True

    def __init__(
        self,
        image_size: Size = 16,
        channels: int = 1,
        classes: Whole | None = None,
        limit: Count | None = None,
        flip: bool = False,
        kimg: Positive = 100,
        split: str = "all",
        minutes: float | None = None,
    ) -> None:
        if split not in SPLITS:
            raise ValueError(f"dataset.split={split} must be one of {', '.join(SPLITS)}")
        with np.load(DIGITS, allow_pickle=False) as packed:
            images = torch.from_numpy(packed["images"])[SPLITS[split], None]  # (1797, 1, 8, 8), 0..16
            labels = torch.from_numpy(packed["labels"])[SPLITS[split]].long()
        grey = (images.float() * 255 / LEVELS).round().to(torch.uint8)
        names = [str(digit) for digit in range(10)]
        super().__init__(
            resized_images(grey, image_size, channels), labels, names, flip, limit, kimg, classes, minutes=minutes
        )
