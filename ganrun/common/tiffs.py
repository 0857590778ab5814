"""Reads and writes the .tif files that Pillow cannot: more than 8 bits, many bands or many pages. No torch."""

from __future__ import annotations

import logging
import math
import zlib
from collections.abc import Mapping
from io import BytesIO
from typing import Any, NamedTuple

import numpy as np

from ganrun.common.headers import MAX_DECODED
from ganrun.common.pictures import check_tile

MAX_PAGES = 1024  # of a file, each of which may become a channel
MAX_SEGMENTS = 200_000  # strips or tiles of a page
PLAIN, LZW, DEFLATE = 1, 5, (8, 32946)  # compression: those that cannot unfold to more than they say, or are checked
GREY_INVERTED, GREY, RGB = 0, 1, 2  # what the numbers mean (photometric interpretation)
WAY_OUT = "save it without compression or with deflate"


class Shape(NamedTuple):
    """Of the pixels of a file: (height, width, bands) with alpha, whether the last band is alpha, and their type."""

    height: int
    width: int
    bands: int
    alpha: bool
    kind: np.dtype


def library() -> Any:
    """The package tifffile. Raises ValueError that names the extra when it is missing."""
    try:
        import tifffile
    except ImportError:
        raise ValueError(
            "a .tif of more than 8 bits, or of many bands or pages: reading it needs pip install 'ganrun[tiff]'"
        ) from None
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # it also logs the faults that it raises
    return tifffile


def pages_of(data: bytes) -> tuple[list[Any], Shape]:
    """The pages that make one picture, and its shape.

    All the pages of the size and kind of the first, when these are grey; otherwise the first page alone. Raises
    ValueError for a kind of file that is not read.
    """
    file = library().TiffFile(BytesIO(data), is_ome=False)  # an OME file may name other files to be opened
    first = file.pages[0]
    pages = [first]
    if samples(first) == 1:
        for number in range(1, MAX_PAGES + 1):
            try:
                page = file.pages[number]
            except IndexError:
                break
            pages.append(page)
        else:
            raise ValueError(f"a .tif of more than {MAX_PAGES} pages")
        pages = [page for page in pages if like(page, first)]
    return pages, shape_of(first, len(pages))


def samples(page: Any) -> int:
    return int(page.samplesperpixel)


def like(page: Any, first: Any) -> bool:
    """Whether a page is another channel of the first one's picture, not a preview of it."""
    return bool(page.shape == first.shape and page.dtype == first.dtype and not page.subfiletype & 1)


def shape_of(page: Any, count: int) -> Shape:
    """Of `count` pages like this. Raises ValueError for numbers that mean something else than light."""
    kind, photometric = page.dtype, int(page.photometric)
    if kind is None or kind.kind not in "uif" or page.bitspersample not in (8, 16, 32, 64):
        raise ValueError(f"a .tif of {page.bitspersample!s:.20} bits of its kind, which is not read: save 8 or 16")
    if photometric not in (GREY_INVERTED, GREY, RGB):
        raise ValueError(f"a .tif of {page.photometric.name} in {page.bitspersample} bits: save it as grey or RGB")
    if int(page.imagedepth) != 1:
        raise ValueError("a .tif of volumes: save each slice as a page")
    alpha = bool(page.extrasamples) and int(page.extrasamples[-1]) in (1, 2) and samples(page) in (2, 4)
    return Shape(int(page.imagelength), int(page.imagewidth), samples(page) * count, alpha, np.dtype(kind))


def read(pages: list[Any], data: bytes) -> np.ndarray:
    """(H, W, bands) of the file's own type. Raises ValueError, or any exception of tifffile, for a damaged file."""
    parts = []
    for page in pages:
        check_segments(page, data)
        whole = page.asarray(maxworkers=1)
        whole = np.moveaxis(whole, 0, 2) if whole.ndim == 3 and int(page.planarconfig) == 2 else whole
        whole = whole.reshape(page.imagelength, page.imagewidth, samples(page))
        if int(page.photometric) == GREY_INVERTED and whole.dtype.kind == "u":
            whole = np.iinfo(whole.dtype).max - whole
        parts.append(whole)
    whole = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=2)
    return straight(whole, pages[0])


def straight(pixels: np.ndarray, page: Any) -> np.ndarray:
    """Colours that were multiplied by their alpha (associated alpha) are divided by it again."""
    if not page.extrasamples or int(page.extrasamples[-1]) != 1 or pixels.dtype.kind != "u":
        return pixels
    top = np.iinfo(pixels.dtype).max
    alpha = np.maximum(pixels[..., -1:].astype(np.float64), 1)
    colours = np.minimum(np.rint(pixels[..., :-1] * (top / alpha)), top).astype(pixels.dtype)
    return np.concatenate([colours, pixels[..., -1:]], axis=2)


def check_segments(page: Any, data: bytes) -> None:
    """Raises ValueError, before anything large is allocated, for strips that are not there or unfold to too much."""
    compression = int(page.compression)
    if compression not in (PLAIN, LZW, *DEFLATE):
        raise ValueError(f"a .tif with compression {page.compression.name}: {WAY_OUT}")
    if compression == LZW:
        check_lzw()
    numbers = math.prod(map(int, page.chunks))
    check_tile(int(page.imagelength), int(page.imagewidth), numbers // samples(page))
    largest = numbers * page.dtype.itemsize
    if largest > MAX_DECODED:
        raise ValueError(f"a .tif with a strip of more than the {MAX_DECODED // 2**20} MiB allowed")
    count = math.prod(map(int, page.chunked))
    starts, sizes = page.dataoffsets, page.databytecounts
    if count > MAX_SEGMENTS or len(starts) < count or len(sizes) < count:
        raise ValueError("a .tif of a damaged header")
    for start, size in zip(starts[:count], sizes[:count], strict=True):
        if start <= 0 or size <= 0 or start + size > len(data):
            raise ValueError("cut short")
        if compression in DEFLATE:
            check_deflate(data[start : start + size], largest)
        elif compression == PLAIN and size > 2 * largest + 2**16:
            raise ValueError("a .tif of a damaged header")


def check_deflate(segment: bytes, largest: int) -> None:
    """Raises ValueError when a strip unfolds to more than `largest` bytes: the library would unfold all of it."""
    unpack = zlib.decompressobj()
    if len(unpack.decompress(segment, largest + 1)) > largest:
        raise ValueError("a strip that unfolds to more pixels than it has")


def check_lzw() -> None:
    """tifffile leaves LZW to another package. It is told how much a strip may unfold to."""
    try:
        import imagecodecs  # noqa: F401
    except ImportError:
        raise ValueError(f"a .tif with compression LZW needs pip install imagecodecs; or {WAY_OUT}") from None


def encoded(
    pixels: np.ndarray,
    alpha: bool,
    icc: bytes | None,
    dpi: tuple[float, float] | None,
    text: Mapping[str, object] | None = None,
) -> bytes:
    """(H, W, C) of whole numbers or floats -> a .tif, deflated. `text` becomes its description."""
    file, colour = BytesIO(), pixels.shape[2] - alpha == 3
    options: dict[str, Any] = {"photometric": "rgb" if colour else "minisblack", "compression": "zlib"}
    extra = pixels.shape[2] - (3 if colour else 1)
    if extra:
        options |= {
            "planarconfig": "contig",
            "extrasamples": ["unspecified"] * (extra - alpha) + ["unassalpha"] * alpha,
        }
    if dpi:
        options |= {"resolution": dpi, "resolutionunit": "inch"}
    said = ", ".join(f"{key}={value}" for key, value in (text or {}).items())
    library().imwrite(
        file,
        pixels if pixels.shape[2] > 1 else pixels[:, :, 0],
        iccprofile=icc,
        description=said.encode("ascii", "replace").decode(),
        metadata=None,
        **options,
    )
    return file.getvalue()
