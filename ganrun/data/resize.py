"""Resizes batches of uint8 images and converts them to grey or colour."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ganrun.data.dataset import Size, as_size
from ganrun.data.storage import free_memory

BATCH = 4096  # images at a time, which limits the memory of the wider numbers that the conversion needs


def check_channels(channels: int) -> int:
    """Raises ValueError unless `channels` is 1 (grey) or 3 (colour)."""
    if channels not in (1, 3):
        raise ValueError(f"dataset.channels={channels} must be 1 (grey) or 3 (colour)")
    return channels


def resized_images(images: Tensor, size: Size, channels: int) -> Tensor:
    """(N, C, H, W) uint8 -> (N, channels, *size) uint8, contiguous; the results equal Pillow's.

    Raises ValueError when the result does not fit into memory, or `channels` is not 1 or 3.
    """
    size, channels = as_size(size), check_channels(channels)
    needed, free = 2 * len(images) * channels * math.prod(size), free_memory()
    if free is not None and needed > free:
        raise ValueError(
            f"dataset.image_size={list(size)}: {len(images)} images need {needed / 2**30:,.0f} GiB of memory, and "
            f"{free / 2**30:,.0f} GiB are free: use a smaller size, or dataset.limit="
        )
    return torch.cat([recoloured(resized(part, size), channels) for part in images.split(BATCH)])


def resized(images: Tensor, size: tuple[int, int]) -> Tensor:
    """(N, C, H, W) uint8 -> (N, C, *size) uint8: bicubic with antialiasing; values are clamped to 0–255."""
    if tuple(images.shape[2:]) == size:
        return images
    return F.interpolate(images, size=size, mode="bicubic", antialias=True)


def recoloured(images: Tensor, channels: int) -> Tensor:
    """(N, 1 or 3, H, W) uint8 -> (N, channels, H, W) uint8.

    Colour becomes grey by the ITU-R 601-2 luma in 16-bit fixed point, as in Pillow's mode "L". Grey becomes three equal
    channels.
    """
    if images.shape[1] == channels:
        return images
    if channels == 3:
        return images.repeat(1, 3, 1, 1)
    red, green, blue = images.int().unbind(1)
    return ((19595 * red + 38470 * green + 7471 * blue + 0x8000) >> 16).to(torch.uint8).unsqueeze(1)
