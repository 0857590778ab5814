"""Reads pictures that are .npy files: a checked header, no pickles, no more memory than the header may ask for."""

from __future__ import annotations

from io import BytesIO

import numpy as np

HEADER = 4096  # bytes of a header: three short fields


def header_of(data: bytes) -> tuple[tuple[int, ...], np.dtype, bool, int]:
    """(shape, type, whether columns come first, where the numbers start). Raises ValueError for what is no picture."""
    file = BytesIO(data)
    try:
        version = np.lib.format.read_magic(file)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
        shape, fortran, kind = read(file, max_header_size=HEADER)
    except Exception as error:  # a header is Python's syntax, and its parser may raise anything
        raise ValueError("a damaged .npy header") from error
    if kind.hasobject or kind.kind not in "uif" or kind.names is not None:
        raise ValueError(f"a .npy of {kind.name[:40]}: a picture holds whole numbers or floats")
    if len(shape) not in (2, 3) or min(shape) < 1:
        raise ValueError(f"a .npy of shape {shape!s:.60}: a picture is (height, width) or (height, width, channels)")
    return shape, kind, fortran, file.tell()


def as_picture(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """(height, width, channels) of an array (H, W), (H, W, C) or (C, H, W): the smallest of three is the channels'."""
    if len(shape) == 2:
        return shape[0], shape[1], 1
    first = channels_first(shape)
    return (shape[1], shape[2], shape[0]) if first else (shape[0], shape[1], shape[2])


def channels_first(shape: tuple[int, ...]) -> bool:
    return len(shape) == 3 and shape[0] < min(shape[1:])


def read(data: bytes) -> np.ndarray:
    """(H, W, C) of the file's own type. Raises ValueError."""
    shape, kind, fortran, start = header_of(data)
    count = int(np.prod(shape, dtype=np.int64))
    if len(data) - start < count * kind.itemsize:
        raise ValueError("cut short")
    flat = np.frombuffer(data, kind, count, start)
    whole = flat.reshape(shape[::-1]).T if fortran else flat.reshape(shape)
    whole = whole[:, :, None] if whole.ndim == 2 else np.moveaxis(whole, 0, 2) if channels_first(shape) else whole
    return whole.astype(kind.newbyteorder("="), copy=False)
