"""A whole picture as its file has it: any depth, all channels, alpha, and what the file says of it. No torch."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageOps

from ganrun.common import arrays, deep_profiles, png16, profiles, tiffs
from ganrun.common.headers import (
    ORIENTATION,
    check_size,
    header_of,
    is_array,
    is_colour,
    is_deep_png,
    needs_library,
    orientation_of,
)
from ganrun.common.pictures import open_picture

MAX_DPI = 2**16  # a JPEG has 16 bits for it

TURNS = {  # EXIF's orientation: how its rows and columns become those that are shown
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.swapaxes(0, 1),
    6: lambda x: x.swapaxes(0, 1)[:, ::-1],
    7: lambda x: x.swapaxes(0, 1)[::-1, ::-1],
    8: lambda x: x.swapaxes(0, 1)[::-1],
}


@dataclass
class About:
    """What a file says of its picture, so that another file can say it too."""

    format: str  # PNG, JPEG, ..., TIFF or NPY
    kind: np.dtype  # of the numbers in the file
    channels: int  # without alpha
    alpha: bool = False
    icc: bytes | None = None
    exif: bytes | None = None  # without the orientation: the picture is upright by now
    dpi: tuple[float, float] | None = None
    notes: list[str] = field(default_factory=list)  # what was changed, for the user


class Whole(NamedTuple):
    """(H, W, C) values and (H, W) alpha or None, both of one type: uint8, uint16 or that of the file."""

    values: np.ndarray
    alpha: np.ndarray | None
    about: About


def read_whole(data: bytes, to_srgb: bool = False) -> Whole:
    """Decodes a picture of any kind; turned upright. to_srgb: colours of another profile are converted.

    Raises ValueError, or any exception of Pillow or tifffile, when the bytes are not a complete picture.
    """
    if is_array(data):
        header_of(data)
        values = arrays.read(data)
        return Whole(values, None, About("NPY", values.dtype, values.shape[2]))
    if needs_library(data):
        return in_srgb(read_tiff(data)) if to_srgb else read_tiff(data)
    with open_picture(data) as image:
        if not is_deep_png(data):
            return read_pillow(image, to_srgb)
        whole = read_png16(image, data)
    return in_srgb(whole) if to_srgb else whole


def in_srgb(whole: Whole) -> Whole:
    """Colours of 16 bits in sRGB, where they have another profile that is a matrix with curves; a note says so."""
    name, about = profiles.name_of_profile(whole.about.icc), whole.about
    if name is None or about.icc is None or about.channels != 3 or whole.values.dtype != np.uint16:
        return whole
    try:
        values = deep_profiles.to_srgb(whole.values, about.icc)
    except ValueError as error:
        return whole._replace(about=replace(about, notes=[f"its profile {name} cannot be used: {error}"]))
    return whole._replace(values=values, about=replace(about, icc=None, notes=[f"converted from {name} to sRGB"]))


def read_tiff(data: bytes) -> Whole:
    """By tifffile. Associated alpha is divided out."""
    pages, shape = tiffs.pages_of(data)
    check_size(shape.height, shape.width, shape.bands, shape.kind.itemsize)
    turn = TURNS.get(orientation_of(pages[0]), lambda x: x)
    pixels = turn(tiffs.read(pages, data))
    tags = pages[0].tags
    icc = tags.valueof(34675)
    about = About(
        "TIFF", pixels.dtype, shape.bands - shape.alpha, shape.alpha,
        bytes(icc) if isinstance(icc, bytes) else None, None, dpi_of(pages[0]),
    )  # fmt: skip
    return divided(pixels, about)


def divided(pixels: np.ndarray, about: About) -> Whole:
    """(H, W, C) with alpha as the last channel, where there is one -> a picture."""
    if not about.alpha:
        return Whole(pixels, None, about)
    return Whole(pixels[..., :-1], pixels[..., -1], about)


def dpi_of(page: Any) -> tuple[float, float] | None:
    try:
        across, down = page.get_resolution(unit="inch")
    except Exception:  # a damaged tag is no reason to refuse the pixels
        return None
    return usable_dpi((across, down))


def usable_dpi(found: object) -> tuple[float, float] | None:
    """Two resolutions in dots per inch that every kind of file can hold; None for others."""
    try:
        across, down = (float(value) for value in found)  # type: ignore[attr-defined]
    except (TypeError, ValueError, ArithmeticError):
        return None
    return (across, down) if all(1 < value < MAX_DPI for value in (across, down)) else None


def read_png16(image: Image.Image, data: bytes) -> Whole:
    """A .png of 16 bits by its two halves of 8. A transparent colour becomes alpha."""
    width, height = image.size
    samples = png16.SAMPLES.get(data[25], 4)
    check_size(height, width, samples, 2)
    parts = []
    for half in png16.halves(data):
        with open_picture(half) as opened:
            parts.append(np.asarray(opened).reshape(height, width, samples))
    pixels = (parts[0].astype(np.uint16) << 8) | parts[1]
    if colour := png16.transparent(data):
        seen = (pixels != np.array(colour, np.uint16)).any(axis=2, keepdims=True)
        pixels = np.concatenate([pixels, seen * np.uint16(65535)], axis=2)
    alpha = pixels.shape[2] in (2, 4)
    about = about_of(image, pixels.dtype, pixels.shape[2] - alpha, alpha)
    return divided(turned(pixels, image), about)


def read_pillow(image: Image.Image, to_srgb: bool) -> Whole:
    """What Pillow reads whole. Palettes become colours; CMYK and others RGB, by their profile if they have one."""
    notes: list[str] = []
    upright = ImageOps.exif_transpose(image)
    if to_srgb or upright.mode not in ("1", "L", "LA", "RGB", "RGBA", "P", "PA"):
        upright, said = profiles.converted(upright)
        notes += said
    mode = straight_mode(upright)
    if upright.mode.startswith(("I", "F")):
        pixels = np.asarray(upright)[:, :, None]
        if pixels.dtype.kind == "i":  # older versions of Pillow hold 16 bits as 32
            pixels = pixels.clip(0, 65535)
        pixels = pixels.astype(np.float32 if upright.mode == "F" else np.uint16)
    else:
        upright = upright if upright.mode == mode else upright.convert(mode)
        pixels = np.asarray(upright)
        pixels = pixels[:, :, None] if pixels.ndim == 2 else pixels
    alpha = mode in ("LA", "RGBA")
    about = about_of(image, pixels.dtype, pixels.shape[2] - alpha, alpha)
    icc = None if any(note.startswith("converted") for note in notes) else about.icc
    if image.mode not in ("L", "LA", "RGB", "RGBA", "P", "PA", "1", "I;16"):
        icc = None  # the numbers are of another space by now
    return divided(pixels, replace(about, icc=icc, notes=notes))


def straight_mode(image: Image.Image) -> str:
    """The mode of 8 bits that holds an image without loss: L, LA, RGB or RGBA."""
    grey = not is_colour(image)
    if image.has_transparency_data:
        return "LA" if grey else "RGBA"
    return "L" if grey else "RGB"


def about_of(image: Image.Image, kind: np.dtype, channels: int, alpha: bool) -> About:
    icc = image.info.get("icc_profile")
    return About(
        image.format or "PNG", kind, channels, alpha, icc if isinstance(icc, bytes) and icc else None,
        upright_exif(image), usable_dpi(image.info.get("dpi")),
    )  # fmt: skip


def upright_exif(image: Image.Image) -> bytes | None:
    """The EXIF data without the orientation; None without any, or where they are damaged."""
    if "exif" not in image.info:
        return None
    try:
        exif = Image.Exif()  # a copy: the image remembers its own
        exif.load(image.info["exif"])
        exif.pop(ORIENTATION, None)
        return exif.tobytes() if len(exif) else None
    except Exception:  # damaged EXIF data make Pillow raise anything
        return None


def turned(pixels: np.ndarray, image: Image.Image) -> np.ndarray:
    """The pixels as EXIF says that they are shown."""
    orientation = image.getexif().get(ORIENTATION, 1) if "exif" in image.info else 1
    return TURNS.get(orientation, lambda x: x)(pixels)
