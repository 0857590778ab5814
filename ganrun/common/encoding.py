"""Writes a picture of any depth with what another file says of it: alpha, profile, EXIF and resolution. No torch."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ganrun.common import png16, tiffs
from ganrun.common.pixels import About

INCH = 0.0254  # metres
PILLOW = {".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".bmp": "BMP", ".png": "PNG"}
QUALITY: dict[str, dict[str, Any]] = {"JPEG": {"quality": 95}, "WEBP": {"lossless": True}}


def encoded(
    values: np.ndarray, alpha: np.ndarray | None, about: About, suffix: str, text: Mapping[str, object] | None = None
) -> bytes:
    """(H, W, C) values and (H, W) alpha of one type -> the bytes of a file of this kind.

    Two or four channels without alpha are grey or colour with alpha. A colour profile is written where its colours
    are still those of the picture. Raises ValueError for a kind of file that cannot hold such numbers.
    """
    pixels = values if alpha is None else np.concatenate([values, alpha[:, :, None]], axis=2)
    icc = about.icc if (values.shape[2] in (3, 4)) == (about.channels == 3) else None
    if suffix == ".npy":
        return npy(pixels)
    if suffix in (".tif", ".tiff"):
        has_alpha = alpha is not None or (pixels.shape[2] in (2, 4) and about.channels in (1, 3))
        return tiffs.encoded(pixels, has_alpha, icc, about.dpi, text)
    if suffix not in PILLOW or pixels.shape[2] > 4 or pixels.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"a {suffix} cannot hold {pixels.shape[2]} channels of {pixels.dtype.name}: write a .tif")
    if pixels.dtype == np.uint16 and suffix == ".png":
        return png16.encoded(pixels, chunks(icc, about, text))
    if pixels.dtype == np.uint16:
        raise ValueError(f"a {suffix} cannot hold 16 bits: format=png")
    return by_pillow(pixels, PILLOW[suffix], icc, about, text)


def npy(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, pixels if pixels.shape[2] > 1 else pixels[:, :, 0], allow_pickle=False)
    return file.getvalue()


def chunks(icc: bytes | None, about: About, text: Mapping[str, object] | None) -> list[tuple[bytes, bytes]]:
    """What a .png says beside its pixels, in the order of its specification."""
    found = []
    if icc:
        found.append((b"iCCP", b"ICC Profile\0\0" + zlib.compress(icc)))
    if about.dpi:
        found.append((b"pHYs", struct.pack(">IIB", *(round(value / INCH) for value in about.dpi), 1)))
    if about.exif:
        found.append((b"eXIf", about.exif.removeprefix(b"Exif\0\0")))
    for key, value in (text or {}).items():
        found.append((b"tEXt", f"{key}\0{value}".encode("latin-1", "replace")))
    return found


def by_pillow(
    pixels: np.ndarray, kind: str, icc: bytes | None, about: About, text: Mapping[str, object] | None
) -> bytes:
    """8 bits, one to four channels. Raises ValueError for a JPEG or .bmp of a picture that is not all opaque."""
    if kind in ("JPEG", "BMP") and pixels.shape[2] in (2, 4):
        if pixels[:, :, -1].min() < 255:
            raise ValueError(f"a {kind} cannot hold its alpha: format=png")
        pixels = pixels[:, :, :-1]
    image = Image.fromarray(np.ascontiguousarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels))
    options: dict[str, Any] = dict(QUALITY.get(kind, {}))
    for key, value in (("icc_profile", icc), ("exif", about.exif), ("dpi", about.dpi)):
        if value:
            options[key] = value
    if kind == "PNG":
        options["pnginfo"] = info = PngInfo()
        for key, word in (text or {}).items():
            info.add_text(str(key), str(word))
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()
