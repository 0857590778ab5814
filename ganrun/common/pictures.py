"""The only module that opens encoded images, with limits on formats and sizes. No torch."""

from __future__ import annotations

import warnings
from io import BytesIO
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from ganrun.common.regular_files import read_regular

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF")  # never EPS, which starts Ghostscript
MAX_PIXELS = 64 * 10**6  # a 170 KB .png may unfold to half a gigabyte
MAX_BYTES = 2**27  # of an encoded image
MAX_TILE = 2048**2  # pixels of a tile of a .tif that is larger than the picture: writers have a tile of their own
MAX_CHUNKS = 50_000  # of a .png, which Pillow reads one by one; Pillow limits their decompressed size itself

warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # MAX_PIXELS is below what it warns of


def open_picture(content: bytes | Path) -> Image.Image:
    """The header of an encoded image, given as its bytes or as a regular file.

    Raises ValueError for another format and for more than MAX_PIXELS, MAX_BYTES or MAX_CHUNKS; OSError for a file
    that cannot be read.
    """
    data = read_regular(content, MAX_BYTES) if isinstance(content, Path) else content
    if len(data) > MAX_BYTES:
        raise ValueError(f"more than the {MAX_BYTES // 2**20} MiB allowed")
    if data.startswith(b"\x89PNG"):
        check_chunks(data)
    try:
        image = Image.open(BytesIO(data), formats=FORMATS)
    except (UnidentifiedImageError, Image.DecompressionBombError) as error:
        bomb = isinstance(error, Image.DecompressionBombError)
        raise ValueError("far too many pixels" if bomb else f"not a {', '.join(FORMATS)} image") from error
    if image.width * image.height > MAX_PIXELS:
        raise ValueError(f"{image.width}x{image.height} pixels, more than the {MAX_PIXELS // 10**6} million allowed")
    if image.format == "TIFF":
        tags = image.tag_v2  # type: ignore[attr-defined]
        check_tile(image.height, image.width, whole_number(tags.get(322, 0)) * whole_number(tags.get(323, 0)))
    return image


def whole_number(tag: object) -> int:
    """The value of a tag of a .tif. Raises ValueError for what is no number of pixels."""
    if not isinstance(tag, int):
        raise ValueError("a .tif of a damaged header")
    return tag


def check_tile(height: int, width: int, pixels: int) -> None:
    """Raises ValueError for a tile or strip of so many pixels in a .tif of this size, which would be unfolded whole.

    The file chooses its size, so that 300 KB may unfold to gigabytes. Sides of tiles are multiples of 16 (TIFF 6.0,
    section 15).
    """
    if pixels > max(MAX_TILE, (height + 15) // 16 * 16 * ((width + 15) // 16 * 16)):
        raise ValueError(f"a .tif of {width}x{height} pixels with a tile of {pixels:,} pixels")


def check_chunks(data: bytes) -> None:
    """Raises ValueError for a .png of so many chunks that walking through them would take long."""
    place = 8
    for _ in range(MAX_CHUNKS):
        if place + 8 > len(data):
            return
        place += 12 + int.from_bytes(data[place : place + 4], "big")
    raise ValueError(f"a .png of more than {MAX_CHUNKS} chunks")
