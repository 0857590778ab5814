"""Takes apart and writes .png files of 16 bits a channel, which Pillow reads as 8 bits. No torch."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

MAGIC = b"\x89PNG\r\n\x1a\n"
SAMPLES = {0: 1, 2: 3, 4: 2, 6: 4}  # colour type: samples of a pixel; grey, RGB, grey and alpha, RGBA
TYPES = {count: kind for kind, count in SAMPLES.items()}
# (first column, first row, columns from one to the next, rows from one to the next) of an interlaced picture's passes
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


class Head(NamedTuple):
    """The fields of IHDR."""

    width: int
    height: int
    bits: int
    colour: int
    compression: int
    filtering: int
    interlaced: int


def halves(data: bytes) -> tuple[bytes, bytes]:
    """Two .png files of 8 bits: the high and the low byte of every sample of one of 16 bits.

    A filter of .png works on each byte of a pixel alone, with the same byte of its neighbours (PNG specification,
    section 9). So the bytes may be divided as they are, filtered, and Pillow undoes the filters in C.
    Raises ValueError when the pixels are cut short or there are more of them than the header says.
    """
    head = Head(*struct.unpack(">IIBBBBB", data[16:29]))
    if head.bits != 16 or head.colour not in SAMPLES or head.interlaced > 1:
        raise ValueError("a damaged .png header")
    rows = inflated(data, sum(height * (1 + width) for width, height in passes(head)))
    eight = chunk(b"IHDR", struct.pack(">IIBBBBB", *head._replace(bits=8)))
    first, second = ([], [])  # type: tuple[list[bytes], list[bytes]]
    place = 0
    for width, height in passes(head):
        part = rows[place : place + height * (1 + width)].reshape(height, 1 + width)
        place += part.size
        for half, start in ((first, 1), (second, 2)):
            half.append(np.concatenate([part[:, :1], part[:, start::2]], axis=1).tobytes())
    return tuple(  # type: ignore[return-value]
        MAGIC + eight + chunk(b"IDAT", zlib.compress(b"".join(half), 0)) + chunk(b"IEND", b"")
        for half in (first, second)
    )


def passes(head: Head) -> Iterator[tuple[int, int]]:
    """(bytes of a row without its filter, rows) of each pass that has pixels; one pass without interlacing."""
    size = 2 * SAMPLES[head.colour]
    for left, top, across, down in ADAM7 if head.interlaced else ((0, 0, 1, 1),):
        width, height = -(-(head.width - left) // across), -(-(head.height - top) // down)
        if width > 0 and height > 0:
            yield width * size, height


def inflated(data: bytes, size: int) -> np.ndarray:
    """The `size` bytes that the IDAT chunks hold. Raises ValueError for fewer or more."""
    unpack = zlib.decompressobj()
    try:
        content = unpack.decompress(b"".join(bytes(part) for kind, part in chunks(data) if kind == b"IDAT"), size + 1)
    except zlib.error as error:
        raise ValueError(f"damaged pixels: {error}") from None
    if len(content) != size:
        raise ValueError("cut short" if len(content) < size else "more pixels than the header says")
    return np.frombuffer(content, np.uint8)


def chunks(data: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """(kind, content) of every chunk up to the end. Raises ValueError for a wrong checksum of pixels."""
    view, place = memoryview(data), len(MAGIC)
    while place + 12 <= len(data):
        size = int.from_bytes(view[place : place + 4], "big")
        kind, content = bytes(view[place + 4 : place + 8]), view[place + 8 : place + 8 + size]
        if kind == b"IDAT" and zlib.crc32(view[place + 4 : place + 8 + size]) != int.from_bytes(
            view[place + 8 + size : place + 12 + size], "big"
        ):
            raise ValueError("damaged pixels: a wrong checksum")
        yield kind, content
        place += 12 + size


def transparent(data: bytes) -> tuple[int, ...] | None:
    """The one colour that is transparent in a picture without alpha (tRNS), if it has one."""
    found = next((bytes(content) for kind, content in chunks(data) if kind == b"tRNS"), None)
    if not found or len(found) % 2 or data[25] not in (0, 2) or len(found) != 2 * SAMPLES[data[25]]:
        return None
    return struct.unpack(f">{len(found) // 2}H", found)


def encoded(pixels: np.ndarray, extra: Sequence[tuple[bytes, bytes]] = ()) -> bytes:
    """(H, W, 1 to 4) uint16 -> a .png of 16 bits: grey, grey and alpha, RGB or RGBA.

    extra: (kind, content) of chunks between the header and the pixels. Each row is stored as its difference from the
    one above it (filter 2), which suits smooth pictures.
    """
    height, width, samples = pixels.shape
    rows = np.ascontiguousarray(pixels, ">u2").view(np.uint8).reshape(height, -1)
    filtered = np.empty((height, 1 + rows.shape[1]), np.uint8)
    filtered[:, 0] = 2
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    parts = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 16, TYPES[samples], 0, 0, 0)),
        *extra,
        (b"IDAT", zlib.compress(filtered.data, 6)),
        (b"IEND", b""),
    ]
    return MAGIC + b"".join(chunk(kind, content) for kind, content in parts)


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(content, zlib.crc32(kind)))
