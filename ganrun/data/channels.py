"""Brings a picture of any depth and any channels to the depth and channels of a data set. It does not import torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ganrun.common.pixels import Whole

Span = tuple[float, float]  # the numbers that are black and white
LUMA = np.array([19595, 38470, 7471])  # ITU-R 601-2 in 16-bit fixed point, as in Pillow's mode "L"
HALF_WHITE = {np.dtype(np.uint8): 127.5, np.dtype(np.uint16): 32767.5, np.dtype(np.float32): 1.0}


def arranged(whole: Whole, channels: int, kind: np.dtype, span: Span | None = None) -> np.ndarray:
    """(H, W, channels) of `kind`: uint8 or uint16, or float32 in [-1, 1], where `span` is [-1, 1].

    2 channels are grey and alpha, 4 are colours and alpha, unless the picture has so many bands. With any other number
    a transparent picture gets a white background. Raises ValueError for channels that it does not have.
    """
    values = scaled(whole.values, kind, span)
    alpha = None if whole.alpha is None else scaled(whole.alpha, kind, full_span(whole.alpha.dtype))
    given = values.shape[2]
    if channels in (2, 4) and given in (1, 3):
        colours = recoloured(values, channels - 1)
        opaque = np.full(values.shape[:2], white_of(kind), kind)
        return np.concatenate([colours, (opaque if alpha is None else alpha)[:, :, None]], axis=2)
    return recoloured(values if alpha is None else on_white(values, alpha), channels)


def scaled(values: np.ndarray, kind: np.dtype, span: Span | None) -> np.ndarray:
    """Values of any type -> uint8 or uint16 by their full range, or float32 in [-1, 1] by `span`, clipped.

    Raises ValueError for numbers whose range is not defined.
    """
    if kind == np.float32:
        low, high = span or full_span(values.dtype)
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise ValueError("it has values that are not finite")
        return ((values.astype(np.float64) - low) * (2 / (high - low)) - 1).clip(-1, 1).astype(np.float32)
    if values.dtype == kind:
        return values
    if values.dtype == np.uint8:
        return values.astype(np.uint16) * np.uint16(257)
    if values.dtype == np.uint16:
        return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)
    full_span(values.dtype)
    raise ValueError(f"it has values of {values.dtype.name}")


def full_span(kind: np.dtype) -> Span:
    """Black and white of whole numbers of 8 or 16 bits. Raises ValueError for other types."""
    if kind not in (np.uint8, np.uint16):
        what = "floating-point pixels" if kind.kind == "f" else f"pixels of {kind.name}"
        raise ValueError(f"it has {what}, whose range is not defined: dataset.range=[black,white], such as [0,1]")
    return 0, float(np.iinfo(kind).max)


def span_of(settings: Mapping[str, Any]) -> Span | None:
    """`range` of a data set's settings, where it has one."""
    found = settings.get("range")
    return None if found is None else (float(found[0]), float(found[1]))


def white_of(kind: np.dtype) -> float:
    return 1 if kind.kind == "f" else float(np.iinfo(kind).max)


def recoloured(values: np.ndarray, channels: int) -> np.ndarray:
    """(H, W, C) -> (H, W, channels): grey becomes three equal channels, colour becomes grey by its luma."""
    given = values.shape[2]
    if given == channels:
        return values
    if given == 1 and channels == 3:
        return np.repeat(values, 3, axis=2)
    if given == 3 and channels == 1:
        if values.dtype.kind == "f":
            red, green, blue = np.moveaxis(values * (LUMA / 65536).astype(np.float32), 2, 0)
            return (red + green + blue)[:, :, None]  # not by @, whose last bit depends on the size of the picture
        return ((values.astype(np.uint64) @ LUMA.astype(np.uint64) + 0x8000) >> 16).astype(values.dtype)[:, :, None]
    raise ValueError(f"it has {given} channel{'s' * (given > 1)}, and {channels} are wanted: dataset.channels={given}")


def on_white(values: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """A transparent picture on a white background."""
    if values.dtype.kind == "f":
        share = (alpha[:, :, None] + 1) / 2
        return values * share + (1 - share)
    white = np.iinfo(values.dtype).max
    share = alpha[:, :, None].astype(np.uint64)
    mixed = values.astype(np.uint64) * share + white * (white - share)
    return ((mixed + white // 2) // white).astype(values.dtype)
