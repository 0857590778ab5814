"""Colour profiles (ICC): their names, and the way to sRGB by littlecms, which comes with Pillow. No torch."""

from __future__ import annotations

import functools
from io import BytesIO
from typing import Any

from PIL import Image, ImageCms

MODES = ("L", "RGB", "RGBA", "CMYK", "LAB")  # what littlecms takes
MAX_PROFILE = 2**22  # bytes; profiles of printers have one or two million
NAME = 60  # characters of a name that are shown


@functools.cache
def srgb() -> Any:
    return ImageCms.createProfile("sRGB")


def name_of(image: Image.Image) -> str | None:
    """The name of an image's profile; None without one, for grey pictures, and for sRGB itself."""
    return None if image.mode.startswith(("1", "L", "I", "F")) else name_of_profile(image.info.get("icc_profile"))


def name_of_profile(icc: object) -> str | None:
    """The name of a profile; None for none, for a damaged one and for sRGB, which its numbers tell and not its name."""
    return _name(icc) if isinstance(icc, bytes) and 0 < len(icc) <= MAX_PROFILE else None


@functools.lru_cache(64)
def _name(icc: bytes) -> str | None:
    try:
        name = ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(BytesIO(icc))).strip()
    except Exception:  # a damaged profile makes littlecms raise anything
        return None
    name = "".join(letter for letter in name if letter.isprintable())[:NAME]
    same = is_srgb(icc)
    if same is None:
        return None if "sRGB" in name or not name else name
    return None if same else name or "a profile without a name"


def is_srgb(icc: bytes) -> bool | None:
    """Whether a profile has sRGB's colours and curves, whatever its name; None where it is no matrix with curves."""
    from ganrun.common import deep_profiles  # NumPy takes a tenth of a second to import

    try:
        return deep_profiles.is_srgb(icc)
    except ValueError:
        return None


def converted(image: Image.Image) -> tuple[Image.Image, list[str]]:
    """The image in sRGB, and a note; itself where it has no profile, or sRGB's, or a damaged one.

    Alpha stays as it is. Palettes become RGB first. Raises nothing: a profile that cannot be used is named in the note.
    """
    name = name_of(image)
    if name is None:
        return image, []
    alpha = image.convert("RGBA").getchannel("A") if image.has_transparency_data else None
    colours = image if image.mode in MODES and alpha is None else image.convert("RGB")
    try:
        profile = ImageCms.ImageCmsProfile(BytesIO(image.info["icc_profile"]))
        made = ImageCms.profileToProfile(colours, profile, srgb(), outputMode="RGB")
    except Exception:  # of another colour space than the pixels, or damaged
        return image, [f"its profile {name} cannot be used"]
    assert made is not None
    if alpha is not None:
        made.putalpha(alpha)
    return made, [f"converted from {name} to sRGB"]
