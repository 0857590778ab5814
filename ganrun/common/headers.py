"""What can be said of a picture of any kind before it is decoded. No torch, and no NumPy where Pillow knows it all."""

from __future__ import annotations

from typing import Any, NamedTuple

from PIL import Image

from ganrun.common import profiles
from ganrun.common.pictures import MAX_PIXELS, open_picture

MAX_DECODED = 2**28  # bytes of a decoded picture: 64 million pixels of RGBA, or 44 million of RGB in 16 bits
MAX_CHANNELS = 1024
ORIENTATION, TURNED = 0x0112, (5, 6, 7, 8)  # EXIF's tag, and its values for pictures that lie on their side
ARRAY = b"\x93NUMPY"
TIFFS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


class Header(NamedTuple):
    """What can be said of a picture before it is decoded."""

    channels: int  # without alpha: 1 grey, 3 colour, or so many bands
    size: tuple[int, int]  # (width, height), as it is shown
    bits: int  # 8, 16, or 32 for floats and for whole numbers with another range
    profile: str | None = None  # the name of its colour profile, unless that is sRGB
    taken: str = ""  # as what its numbers are taken, where another reading is possible


def header_of(data: bytes) -> Header:
    """Looks at a picture without decoding it. Raises ValueError, or any exception of Pillow or tifffile."""
    if is_array(data):
        from ganrun.common import arrays  # NumPy takes a tenth of a second to import

        shape, kind, _, _ = arrays.header_of(data)
        height, width, channels = arrays.as_picture(shape)
        check_size(height, width, channels, kind.itemsize)
        order = "(channels, height, width)" if arrays.channels_first(shape) else "(height, width, channels)"
        taken = f"the shape {shape} is read as {order}" if len(shape) == 3 else ""
        return Header(channels, (width, height), bits_of(kind.name), taken=taken)
    if needs_library(data):
        from ganrun.common import tiffs

        pages, form = tiffs.pages_of(data)
        check_size(form.height, form.width, form.bands, form.kind.itemsize)
        turned = orientation_of(pages[0]) in TURNED
        size = (form.height, form.width) if turned else (form.width, form.height)
        channels = form.bands - form.alpha
        profile = profiles.name_of_profile(pages[0].tags.valueof(34675)) if channels == 3 else None
        taken = f"its {len(pages)} grey pages are the channels of one picture" if len(pages) > 1 else ""
        return Header(channels, size, bits_of(form.kind.name), profile, taken)
    with open_picture(data) as image:
        width, height = image.size
        bits = 32 if image.mode == "F" else 16 if image.mode.startswith("I") or is_deep_png(data) else 8
        size = (height, width) if lies_on_its_side(image) else (width, height)
        colour = data[25] in (2, 6) if is_deep_png(data) else is_colour(image)
        return Header(3 if colour else 1, size, bits, profiles.name_of(image))


def is_array(data: bytes) -> bool:
    """Whether these bytes begin as a .npy does."""
    return data.startswith(ARRAY)


def is_deep_png(data: bytes) -> bool:
    """Whether these bytes begin as a .png of 16 bits a channel does."""
    return data.startswith(b"\x89PNG\r\n\x1a\n") and data[12:16] == b"IHDR" and data[24:25] == b"\x10"


def needs_library(data: bytes) -> bool:
    """Whether these bytes are a .tif that Pillow would not read in full: more than 8 bits, many bands or pages."""
    if data[:4] not in TIFFS:
        return False
    try:
        with open_picture(data) as image:
            tags = image.tag_v2  # type: ignore[attr-defined]
            bits = max(tags.get(258, (1,)))
            if image.mode in ("I;16", "I;16B", "F", "L") and bits >= 8:
                return has_more_pages(image)
            return bits > 8
    except ValueError as error:
        if "pixels" in str(error):  # too many of them, whoever reads it
            raise
        return True


def has_more_pages(image: Image.Image) -> bool:
    try:
        image.seek(1)
    except EOFError:
        return False
    return True


def orientation_of(page: Any) -> int:
    """EXIF's orientation of a page of a .tif."""
    value = page.tags.valueof(274)
    return value if isinstance(value, int) else 1


def lies_on_its_side(image: Image.Image) -> bool:
    """Whether EXIF says that height and width change places when it is shown; nothing is decoded to find out."""
    if image.format == "PNG" and "exif" not in image.info:  # Pillow would decode it all to look behind the pixels
        return False
    return image.getexif().get(ORIENTATION) in TURNED


def is_colour(image: Image.Image) -> bool:
    return not image.mode.startswith(("1", "L", "I", "F")) or image.mode == "LAB"


def bits_of(kind: str) -> int:
    return {"uint8": 8, "uint16": 16}.get(kind, 32)


def check_size(height: int, width: int, channels: int, bytes_each: int) -> None:
    """Raises ValueError for more pixels, channels or bytes than a picture may have."""
    if height * width > MAX_PIXELS:
        raise ValueError(f"{width}x{height} pixels, more than the {MAX_PIXELS // 10**6} million allowed")
    if channels > MAX_CHANNELS:
        raise ValueError(f"{channels} channels, more than the {MAX_CHANNELS} allowed")
    if height * width * channels * bytes_each > MAX_DECODED:
        raise ValueError(f"more than the {MAX_DECODED // 2**20} MiB of decoded pixels allowed")
    if not height * width * channels:
        raise ValueError("it has no pixels")
