"""Damaged: pairs of a damaged and a clean picture, made from any data set with new random damage for each batch."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Self

import torch
from torch import Tensor

from ganrun.common.bounds import Count, Positive, Setting, Whole
from ganrun.data.crops import Crop, CropScale, Small
from ganrun.data.damage import Damage
from ganrun.data.dataset import Dataset, Size
from ganrun.data.storage import Depth, Profiles, Range


class Damaged(Dataset):
    """Batches of "target", the clean pictures, and "source", the same pictures after `damages[damage]`.

    scale: how many times larger a target is than its source; None: what the damage needs.
    root, split, download, image_size, channels, limit, mode, cache, cache_gib, workers, resident, depth, range,
    profiles, crop, crop_scale and small are not used here: `ganrun.data.clean` has passed them on to `clean`.
    Raises ValueError for an unknown damage, for a data set of pairs, and for an image size that is not divisible by
    `scale`.
    """

    def __init__(
        self,
        clean: Dataset,
        damages: Mapping[str, Damage],
        source: str = "digits",
        damage: str = "noise",
        root: str | None = None,
        split: str | None = None,
        download: bool | None = None,
        image_size: Size | None = None,
        channels: int | None = None,
        classes: Whole | None = None,
        scale: Setting | None = None,
        limit: Count | None = None,
        flip: bool = False,
        kimg: Positive = 100,
        mode: str | None = None,
        cache: str | None = None,
        cache_gib: Positive | None = None,
        workers: int | str | None = None,
        resident: bool | str | None = None,
        depth: Depth | None = None,
        range: Range | None = None,
        profiles: Profiles | None = None,
        crop: Crop | None = None,
        crop_scale: CropScale | None = None,
        small: Small | None = None,
        turns: bool = False,
    ) -> None:
        if damage not in damages:
            raise ValueError(f"dataset.damage={damage} must be one of {', '.join(damages)}")
        if "image" not in clean.take(torch.tensor([0])):
            raise ValueError(f"dataset.source={source} has pairs of pictures, not single pictures that can be damaged")
        super().__init__(clean.images, clean.labels, clean.class_names, flip, kimg=kimg, classes=classes)
        self.sided = clean.sided
        self.resident, self.names = clean.resident, clean.names
        self.clean, self.name, self.damage, self.damages = clean, damage, damages[damage], damages
        self.set_crops(clean.crops, turns)
        check_channels(damage, self.damage, clean.channels)
        self.scale = self.damage.scale
        if scale not in (None, self.scale):
            raise ValueError(f"dataset.scale={scale}, but the scale of {damage} is {self.scale}: leave the key out")
        if any(side % self.scale for side in self.image_size):
            near = [max(1, side // self.scale) * self.scale for side in self.image_size]
            key = "image_size" if self.crops is None else "crop"
            raise ValueError(
                f"dataset.{key}={list(self.image_size)} is not divisible by {self.scale}, as dataset.damage="
                f"{damage} needs; try dataset.{key}={near}"
            )

    def to(self, device: torch.device) -> Self:
        moved = copy.copy(self)
        moved.clean = clean = self.clean.to(device)
        moved.images, moved.labels, moved.device, moved.pinned = clean.images, clean.labels, clean.device, clean.pinned
        return moved

    def among(self, rows: Tensor) -> Self:
        part = super().among(rows)
        part.clean = self.clean.among(rows)
        return part

    def take(self, indices: Tensor, keys: Sequence[int] | None = None) -> dict[str, Tensor]:
        """(N,) indices -> {"target": (N, C, H, W) uint8, "label": (N,) int64 when there are labels}."""
        batch = self.clean.take(indices, keys) if self.crops else self.clean.take(indices)
        return {("target" if name == "image" else name): tensor for name, tensor in batch.items()}

    def transform(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Adds "source", (N, C, H/scale, W/scale) in [-1, 1]; for the damage `mask` also "mask", (N, 1, H, W)."""
        added = self.damage.added(batch["target"])
        return {
            **batch,
            **{name: images.contiguous(memory_format=torch.channels_last) for name, images in added.items()},
        }


def check_channels(name: str, damage: Damage, channels: int) -> None:
    """Raises ValueError for pictures that a part of the damage cannot encode, as JPEG with four channels."""
    limited = {type(part).__name__ for part in damage.modules() if isinstance(part, Damage) and part.photographs_only}
    if limited and channels not in (1, 3):
        raise ValueError(
            f"dataset.damage={name} has {' and '.join(sorted(limited))}, which need pictures of 1 or 3 channels; "
            f"these have {channels}: choose another damage, or leave that part out"
        )
