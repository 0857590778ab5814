"""Colours of 16 bits from their profile (ICC) to sRGB: littlecms, by way of Pillow, would make 8 bits of them.

For profiles of a matrix and three curves (ICC.1:2010, annex F.3), which cameras and displays have. No torch.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np

Curve = Callable[[np.ndarray], np.ndarray]

# from XYZ as profiles have it (D50) to the linear light of sRGB: the inverse of the matrix in sRGB's own profile
TO_SRGB = np.linalg.inv(np.array([[0.4360, 0.3851, 0.1431], [0.2225, 0.7169, 0.0606], [0.0139, 0.0971, 0.7141]]))
MAX_TABLE = 2**16  # entries of a curve
ALIKE = (
    0.004  # how far the matrix and the light of a profile that is sRGB may be from sRGB's; a gamma of 2.2 is farther
)


def to_srgb(values: np.ndarray, icc: bytes) -> np.ndarray:
    """(H, W, 3) uint16 -> the same in sRGB. Raises ValueError for a profile that is no matrix with curves."""
    tags = tags_of(icc)
    levels = np.arange(65536) / 65535
    light = [curve_of(tags[name])(levels).astype(np.float32) for name in (b"rTRC", b"gTRC", b"bTRC")]
    matrix = TO_SRGB @ np.stack([xyz_of(tags[name]) for name in (b"rXYZ", b"gXYZ", b"bXYZ")], axis=1)
    linear = np.stack([table[values[:, :, channel]] for channel, table in enumerate(light)], axis=2)
    mixed = (linear @ matrix.T.astype(np.float32)).clip(0, 1)
    shown = np.where(mixed <= 0.0031308, 12.92 * mixed, 1.055 * mixed ** np.float32(1 / 2.4) - 0.055)
    return np.rint(shown * 65535).clip(0, 65535).astype(np.uint16)


def is_srgb(icc: bytes) -> bool:
    """Whether a profile has sRGB's matrix and curves. Raises ValueError for one that is no matrix with curves."""
    tags = tags_of(icc)
    matrix = TO_SRGB @ np.stack([xyz_of(tags[name]) for name in (b"rXYZ", b"gXYZ", b"bXYZ")], axis=1)
    levels = np.linspace(0, 1, 256)
    light = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    curves = np.stack([curve_of(tags[name])(levels) for name in (b"rTRC", b"gTRC", b"bTRC")])
    return bool(abs(matrix - np.eye(3)).max() < ALIKE and abs(curves - light).max() < ALIKE)


def tags_of(icc: bytes) -> dict[bytes, bytes]:
    """{name: content} of the tags. Raises ValueError for a damaged profile, and for one that is not of RGB."""
    if len(icc) < 132 or icc[16:20] != b"RGB ":
        raise ValueError("no profile of RGB")
    (count,) = struct.unpack(">I", icc[128:132])
    if count > 100 or len(icc) < 132 + 12 * count:
        raise ValueError("a damaged profile")
    found = {}
    for number in range(count):
        name, start, size = struct.unpack(">4sII", icc[132 + 12 * number : 144 + 12 * number])
        found[name] = icc[start : start + size]
    if b"A2B0" in found or not {b"rTRC", b"gTRC", b"bTRC", b"rXYZ", b"gXYZ", b"bXYZ"} <= found.keys():
        raise ValueError("a profile that is no matrix with curves")
    return found


def xyz_of(tag: bytes) -> np.ndarray:
    """(3,) of a colour."""
    if len(tag) < 20:
        raise ValueError("a damaged profile")
    return np.array(struct.unpack(">3i", tag[8:20])) / 65536


def curve_of(tag: bytes) -> Curve:
    """A tone curve: levels in [0, 1] -> light in [0, 1]. Raises ValueError for a kind that there is not."""
    if tag[:4] == b"curv" and len(tag) >= 12:
        (count,) = struct.unpack(">I", tag[8:12])
        if count > MAX_TABLE or len(tag) < 12 + 2 * count:
            raise ValueError("a damaged profile")
        table = np.frombuffer(tag, ">u2", count, 12)
        if count == 0:
            return lambda x: x
        if count == 1:
            return lambda x: x ** (float(table[0]) / 256)
        return lambda x: np.interp(x, np.linspace(0, 1, count), table / 65535)
    if tag[:4] == b"para" and len(tag) >= 12:
        return parametric(int.from_bytes(tag[8:10], "big"), tag[12:])
    raise ValueError("a damaged profile")


def parametric(kind: int, numbers: bytes) -> Curve:
    """(a x + b)^g + e from d on, c x + f below it (ICC.1:2010, table 65)."""
    needed = {0: 1, 1: 3, 2: 4, 3: 5, 4: 7}.get(kind, 0)
    if not needed or len(numbers) < 4 * needed:
        raise ValueError("a damaged profile")
    g, a, b, c, d, e, f = [
        number / 65536 for number in (*struct.unpack(f">{needed}i", numbers[: 4 * needed]), *[0] * (7 - needed))
    ]
    if kind == 0:
        a, d = 1.0, -1.0
    elif kind in (1, 2):  # below -b/a the curve is the constant of its third letter
        c, e, f, d = 0.0, c, c, -b / a if a else 0.0
    return lambda x: np.where(x >= d, np.maximum(a * x + b, 0) ** g + e, c * x + f).clip(0, 1)
