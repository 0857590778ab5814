"""Pictures of any depth and any channels are read with every bit, and hostile ones are refused in one line."""

from __future__ import annotations

import struct
import tracemalloc
import zlib
from io import BytesIO

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from ganrun.common import png16
from ganrun.common.deep_profiles import curve_of
from ganrun.common.headers import header_of
from ganrun.common.pixels import About, Whole, in_srgb, read_whole
from ganrun.common.profiles import name_of_profile

RAMP = np.arange(65536, dtype=np.uint16).reshape(256, 256)


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 65536, shape, dtype=np.uint16)


def together(whole: Whole) -> np.ndarray:
    return whole.values if whole.alpha is None else np.dstack([whole.values, whole.alpha])


def tiff(pixels: np.ndarray, **options: object) -> bytes:
    file = BytesIO()
    tifffile.imwrite(file, pixels, **options)
    return file.getvalue()


def npy(pixels: np.ndarray) -> bytes:
    file = BytesIO()
    np.save(file, pixels)
    return file.getvalue()


def saved(image: Image.Image, format: str = "PNG", **options: object) -> bytes:
    file = BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def filtered_png(pixels: np.ndarray, interlaced: bool = False) -> bytes:
    """A .png of 16 bits whose rows go through the five filters in turn, by their definitions."""
    height, width, samples = pixels.shape
    raw = b""
    grids = [pixels[top::down, left::across] for left, top, across, down in png16.ADAM7] if interlaced else [pixels]
    for grid in grids:
        rows = np.ascontiguousarray(grid, ">u2").view(np.uint8).reshape(grid.shape[0], -1).astype(int)
        if not rows.size:
            continue
        above = np.zeros_like(rows[0])
        for number, row in enumerate(rows):
            left, corner = (np.concatenate([np.zeros(2 * samples, int), x[: -2 * samples]]) for x in (row, above))
            guess = left + above - corner
            near = [abs(guess - x) for x in (left, above, corner)]
            paeth = np.where(
                (near[0] <= near[1]) & (near[0] <= near[2]), left, np.where(near[1] <= near[2], above, corner)
            )
            kind = number % 5
            predicted = [0, left, above, (left + above) // 2, paeth][kind]
            raw += bytes([kind]) + ((row - predicted) % 256).astype(np.uint8).tobytes()
            above = row
    return deep_png(width, height, samples, zlib.compress(raw), interlaced)


def deep_png(width: int, height: int, samples: int, packed: bytes, interlaced: bool = False) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, 16, png16.TYPES[samples], 0, 0, interlaced)
    parts = ((b"IHDR", head), (b"IDAT", packed), (b"IEND", b""))
    return png16.MAGIC + b"".join(png16.chunk(*part) for part in parts)


@pytest.mark.parametrize("samples", [1, 2, 3, 4])
def test_a_png_of_16_bits_keeps_every_bit_through_every_filter(samples: int) -> None:
    pixels = noise(19, 23, samples)
    for data in (png16.encoded(pixels), filtered_png(pixels), filtered_png(pixels, interlaced=True)):
        assert np.array_equal(together(read_whole(data)), pixels)
        found = header_of(data)
        assert (found.channels, found.size, found.bits) == ([1, 1, 3, 3][samples - 1], (23, 19), 16)


@pytest.mark.parametrize(
    "options",
    [
        {"planarconfig": "contig"},
        {"planarconfig": "contig", "compression": "deflate", "predictor": True, "rowsperstrip": 4},
        {"planarconfig": "contig", "tile": (16, 16), "compression": "deflate"},
        {"planarconfig": "separate"},
        {"byteorder": ">", "bigtiff": True},
    ],
)
def test_a_tiff_of_five_bands_keeps_every_bit(options: dict[str, object]) -> None:
    pixels = noise(19, 23, 5)
    planar = options.get("planarconfig") != "contig"  # without a word on it, each band becomes a page
    data = tiff(np.moveaxis(pixels, 2, 0) if planar else pixels, photometric="minisblack", **options)
    assert np.array_equal(read_whole(data).values, pixels)
    assert header_of(data)[:3] == (5, (23, 19), 16)


def test_a_preview_beside_the_picture_is_no_channel() -> None:
    file = BytesIO()
    with tifffile.TiffWriter(file) as writer:
        writer.write(noise(16, 16))
        writer.write(noise(4, 4), subfiletype=1)
    assert header_of(file.getvalue()).channels == 1


def test_an_array_is_a_picture_whichever_end_its_channels_are_on() -> None:
    pixels = noise(19, 23, 5)
    for data in (npy(pixels), npy(np.moveaxis(pixels, 2, 0)), npy(np.asfortranarray(pixels))):
        assert np.array_equal(read_whole(data).values, pixels)
        assert header_of(data)[:3] == (5, (23, 19), 16)


def test_a_16_bit_picture_on_its_side_is_turned() -> None:
    pixels = noise(4, 6, 3)
    exif = Image.Exif()
    exif[0x0112] = 6
    data = png16.encoded(pixels, [(b"eXIf", exif.tobytes()[6:])])
    assert header_of(data).size == (4, 6)
    assert np.array_equal(read_whole(data).values, np.rot90(pixels, -1))
    assert np.array_equal(read_whole(tiff(pixels, extratags=[(274, 3, 1, 6)])).values, np.rot90(pixels, -1))


def test_a_palette_with_a_transparent_colour_becomes_colours_and_alpha() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 0])
    image.putdata([0, 1])
    whole = read_whole(saved(image, transparency=1))
    assert whole.values.tolist() == [[[10, 20, 30], [200, 100, 0]]]
    assert whole.alpha is not None
    assert whole.alpha.tolist() == [[255, 0]]


def linear_profile(name: bytes = b"Linear RGB") -> bytes:
    """An ICC profile of RGB with sRGB's colours, whose numbers are amounts of light (gamma 1)."""

    def xyz(*numbers: float) -> bytes:
        return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(number * 65536) for number in numbers))

    name += b"\0"
    tags = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", len(name)) + name + bytes(78 + 1),
        b"wtpt": xyz(0.9642, 1, 0.8249),
        b"rXYZ": xyz(0.4361, 0.2225, 0.0139),
        b"gXYZ": xyz(0.3851, 0.7169, 0.0971),
        b"bXYZ": xyz(0.1431, 0.0606, 0.7142),
        **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), b"curv" + bytes(8)),
    }
    table, body, start = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for key, content in tags.items():
        table += key + struct.pack(">II", start + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    head = struct.pack(">I4sI4s4s4s", start + len(body), b"", 0x02400000, b"mntr", b"RGB ", b"XYZ ") + bytes(12)
    head += b"acsp" + bytes(28) + struct.pack(">3i", 63190, 65536, 54061)
    return head.ljust(128, b"\0") + table + body


def test_colours_are_converted_by_their_profile_or_keep_it() -> None:
    """Half of the light is 188 of 255 in sRGB."""
    data = saved(Image.new("RGB", (2, 2), (128, 128, 128)), icc_profile=linear_profile())
    assert header_of(data).profile == "Linear RGB"
    kept, made = read_whole(data), read_whole(data, to_srgb=True)
    assert kept.values[0, 0].tolist() == [128, 128, 128]
    assert kept.about.icc == linear_profile()
    assert made.values[0, 0].tolist() == pytest.approx([188, 188, 188], abs=1)
    assert made.about.icc is None
    assert made.about.notes == ["converted from Linear RGB to sRGB"]


def test_a_profile_is_srgb_by_its_numbers_not_its_name() -> None:
    linear = linear_profile(b"GIMP built-in Linear sRGB")
    data = saved(Image.new("RGB", (2, 2), (128, 128, 128)), icc_profile=linear)
    assert header_of(data).profile == "GIMP built-in Linear sRGB"
    assert (read_whole(data, to_srgb=True).values == 188).all()
    assert name_of_profile(linear_profile(b"")) == "a profile without a name"
    ours = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert name_of_profile(ours) is None


def test_16_bits_are_converted_with_all_of_them() -> None:
    """As littlecms converts 8 bits, but in between too."""
    levels = np.arange(0, 65536, 16, dtype=np.uint16)
    ramp = np.dstack([levels, levels[::-1], np.roll(levels, 1000)])
    deep = read_whole(png16.encoded(ramp, [(b"iCCP", b"x\0\0" + zlib.compress(linear_profile()))]), to_srgb=True)
    assert deep.about.notes == ["converted from Linear RGB to sRGB"]
    assert len(np.unique(deep.values[..., 0])) > 4000
    eight = np.arange(256, dtype=np.uint8)[None, :, None].repeat(3, 2)
    by_littlecms = read_whole(saved(Image.fromarray(eight), icc_profile=linear_profile()), to_srgb=True).values
    ours = in_srgb(Whole(eight.astype(np.uint16) * 257, None, About("TIFF", np.dtype("u2"), 3, icc=linear_profile())))
    assert np.abs(ours.values / 257 - by_littlecms).max() < 1


def test_curves_of_profiles() -> None:
    half = np.array([0.0, 0.5, 1.0])
    gamma = struct.pack(">4sIIH", b"curv", 0, 1, 2 * 256)
    table = struct.pack(">4sII3H", b"curv", 0, 3, 0, 65535 // 4, 65535)
    power = struct.pack(">4sIHHi", b"para", 0, 0, 0, 2 * 65536)
    srgb = struct.pack(
        ">4sIHH5i", b"para", 0, 3, 0, *(round(x * 65536) for x in (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045))
    )
    for curve, middle in ((gamma, 0.25), (table, 0.25), (power, 0.25), (srgb, 0.2140)):
        assert curve_of(curve)(half).tolist() == pytest.approx([0, middle, 1], abs=1e-3)
    for damaged in (b"", b"curv" + bytes(4) + b"\xff" * 4, b"para" + bytes(8), b"mft2" + bytes(40)):
        with pytest.raises(ValueError, match="damaged"):
            curve_of(damaged)


def test_cmyk_becomes_rgb() -> None:
    whole = read_whole(saved(Image.new("CMYK", (2, 2), (0, 255, 255, 0)), "TIFF"))
    assert whole.values[0, 0].tolist() == [255, 0, 0]


def huge_tiff(**options: object) -> bytes:
    """Says 60,000 x 60,000 pixels."""
    data = bytearray(tiff(noise(8, 8, 5), photometric="minisblack", planarconfig="contig", **options))
    page = tifffile.TiffFile(BytesIO(bytes(data))).pages[0]
    for tag in (256, 257):
        entry = page.tags[tag]
        data[entry.offset + 8 : entry.offset + 12] = struct.pack("<I", 60_000) if entry.dtype == 4 else b"\x60\xea\0\0"
    return bytes(data)


def bomb_tiff() -> bytes:
    """A strip of 8 rows that unfolds to 60 MB."""
    bomb = zlib.compress(bytes(6 * 10**7), 1)
    data = bytearray(tiff(noise(8, 8, 5), photometric="minisblack", planarconfig="contig", compression="deflate"))
    page = tifffile.TiffFile(BytesIO(bytes(data))).pages[0]
    for tag, value in ((273, len(data)), (279, len(bomb))):
        data[page.tags[tag].offset + 2 : page.tags[tag].offset + 4] = struct.pack("<H", 4)
        data[page.tags[tag].offset + 8 : page.tags[tag].offset + 12] = struct.pack("<I", value)
    return bytes(data) + bomb


def object_npy() -> bytes:
    file = BytesIO()
    np.save(file, np.array([[{}, {}]], dtype=object), allow_pickle=True)
    return file.getvalue()


def lying_npy(shape: tuple[int, ...], kind: str = "<u2") -> bytes:
    file = BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": kind, "fortran_order": False, "shape": shape})
    return file.getvalue() + bytes(64)


PLAIN_TAG = b"\x03\x01\x03\0\x01\0\0\0"  # the tag of the compression, one number of two bytes

HOSTILE = {
    "a .png of too many pixels": lambda: deep_png(30_000, 30_000, 3, b""),
    "a .png of too many bytes": lambda: deep_png(8000, 8000, 4, b""),
    "a .png without pixels": lambda: deep_png(5000, 5000, 3, zlib.compress(b"")),
    "a .png with too many pixels": lambda: deep_png(8, 8, 3, zlib.compress(bytes(6 * 10**7))),
    "a .png cut short": lambda: png16.encoded(noise(64, 64, 3))[:9000],
    "a .png with a wrong byte": lambda: png16.encoded(noise(64, 64, 3)).replace(b"IDAT", b"IDAT!", 1)[:-1],
    "a .tif of too many pixels": huge_tiff,
    "a .tif that unfolds": bomb_tiff,
    "a .tif cut short": lambda: tiff(noise(64, 64, 5), photometric="minisblack", planarconfig="contig")[:9000],
    "a .tif of JPEG XL": lambda: tiff(noise(8, 8, 3)).replace(PLAIN_TAG + b"\x01\0", PLAIN_TAG + b"\x42\xcd"),
    "a .npy of objects": object_npy,
    "a .npy that lies": lambda: lying_npy((5000, 5000, 5)),
    "a .npy of too many pixels": lambda: lying_npy((10**6, 10**6)),
    "a .npy of negative sides": lambda: lying_npy((-1, -5)),
    "a .npy of four axes": lambda: lying_npy((2, 2, 2, 2)),
    "a .npy of words": lambda: lying_npy((2, 2), "<U4"),
    "a .npy of a long header": lambda: b"\x93NUMPY\x01\0\xff\xff" + b"[" * 65535,
}  # fmt: skip


@pytest.mark.parametrize("made", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_picture_is_refused_with_little_memory(made) -> None:
    data = made()
    tracemalloc.start()
    try:
        with pytest.raises((ValueError, OSError)) as refused:
            read_whole(data)
        assert tracemalloc.get_traced_memory()[1] < 30 * 2**20
    finally:
        tracemalloc.stop()
    assert str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_tiff_of_endless_pages_is_refused() -> None:
    """Each page's directory names the first as the next."""
    data = bytearray(tiff(noise(8, 8)))
    page = tifffile.TiffFile(BytesIO(bytes(data))).pages[0]
    end = page.offset + 2 + 12 * len(page.tags)
    data[end : end + 4] = struct.pack("<I", page.offset)
    assert header_of(bytes(data)).channels == 1  # the library stops at a page that it has seen


def test_without_the_library_its_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "tifffile", None)
    with pytest.raises(ValueError, match=r"pip install 'ganrun\[tiff\]'"):
        read_whole(tiff_data)
    assert read_whole(saved(Image.fromarray(RAMP), "TIFF")).values.max() == 65535  # Pillow's own


tiff_data = tiff(noise(8, 8, 5), photometric="minisblack", planarconfig="contig")


@pytest.mark.parametrize("bits", [8, 16, 32])  # the first two are read by Pillow, floats by tifffile
def test_a_tile_is_not_much_larger_than_its_picture(bits: int) -> None:
    """The file chooses its tiles: one of 12,288² zeros takes 300 KB, and would be unfolded whole."""

    def tiled(side: int) -> bytes:
        pixels = zlib.compress(bytes(side * side * bits // 8)) if side <= 256 else zlib.compress(b"")
        words = {256: 16, 257: 16, 258: bits, 259: 8, 262: 1, 277: 1, 322: side, 323: side, 324: 0, 325: len(pixels)}
        words |= {339: 3} if bits == 32 else {}
        start = 8 + 2 + 12 * len(words) + 4
        words[324] = start
        entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in words.items())
        return b"II*\0" + struct.pack("<IH", 8, len(words)) + entries + bytes(4) + pixels

    assert read_whole(tiled(256)).values.shape == (16, 16, 1)
    for side in (2064, 12288, 2**31 - 16):
        with pytest.raises(ValueError, match=f"a .tif of 16x16 pixels with a tile of {side * side:,} pixels"):
            read_whole(tiled(side))
