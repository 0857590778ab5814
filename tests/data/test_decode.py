"""Any stored image to uint8 pixels."""

import os

import numpy as np
import pytest
from pictures import encoded, noise
from PIL import Image

from ganrun.common.pictures import MAX_PIXELS
from ganrun.data import decode as room
from ganrun.data.decode import FITS, Decoder, crop, pad, squash
from ganrun.data.listing import list_images


def decoder(channels=3, size=(8, 8), fit=crop):
    return Decoder(channels, size, fit)


def flat(mode, colour, size=(8, 8)):
    return Image.new(mode, size, colour)


@pytest.mark.parametrize("format", ["PNG", "BMP", "TIFF"])
def test_lossless_colour_comes_out_as_it_went_in(format):
    image = noise(0)
    assert np.array_equal(decoder()(encoded(image, format)), np.asarray(image).transpose(2, 0, 1))


@pytest.mark.parametrize("format", ["JPEG", "WEBP", "GIF"])
def test_lossy_formats_come_close(format):
    pixels = decoder()(encoded(flat("RGB", (200, 100, 50)), format)).astype(int)
    assert np.abs(pixels - np.array([200, 100, 50])[:, None, None]).max() <= 4


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (flat("L", 77), (77, 77, 77)),
        (flat("1", 1), (255, 255, 255)),
        (flat("P", 0), (0, 0, 0)),
        (flat("RGBA", (10, 20, 30, 255)), (10, 20, 30)),
        (flat("RGBA", (10, 20, 30, 0)), (255, 255, 255)),  # transparent: the white beneath
        (flat("LA", (0, 127)), (128, 128, 128)),
    ],
    ids=lambda value: getattr(value, "mode", None),
)
def test_every_mode_becomes_colour(image, expected):
    pixels = decoder()(encoded(image))
    assert pixels.shape == (3, 8, 8)
    assert tuple(pixels[:, 4, 4]) == expected


def test_palettes_are_looked_up():
    image = flat("P", 1)
    image.putpalette([0, 0, 0, 12, 34, 56])
    assert tuple(decoder()(encoded(image))[:, 0, 0]) == (12, 34, 56)


def test_cmyk_becomes_colour():
    assert tuple(decoder()(encoded(flat("CMYK", (255, 0, 0, 0)), "TIFF"))[:, 0, 0]) == (0, 255, 255)


@pytest.mark.parametrize(("stored", "expected"), [(0, 0), (257 * 100, 100), (65535, 255)])
@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_rather_than_clipped(stored, expected, format):
    image = Image.fromarray(np.full((8, 8), stored, np.uint16))
    assert decoder(1)(encoded(image, format)).tolist() == np.full((1, 8, 8), expected).tolist()


def test_floating_point_pixels_are_refused():
    with pytest.raises(ValueError, match="floating-point"):
        decoder()(encoded(flat("F", 0.5), "TIFF"))


def test_colour_becomes_grey_by_pillows_luma():
    image = noise(1)
    assert np.array_equal(decoder(1)(encoded(image))[0], np.asarray(image.convert("L")))


def test_exif_rotation_is_applied():
    image = noise(2, (8, 8))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    turned = image.transpose(Image.Transpose.ROTATE_270)
    assert np.array_equal(decoder()(encoded(image, exif=exif)), np.asarray(turned).transpose(2, 0, 1))


def test_the_first_picture_of_an_animation_is_taken():
    frames = [flat("RGB", (255, 0, 0)), flat("RGB", (0, 0, 255))]
    moving = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert tuple(decoder()(moving)[:, 0, 0]) == (255, 0, 0)


def test_fits_of_a_wide_picture():
    wide = Image.fromarray(np.repeat(np.array([[10] * 4 + [200] * 8 + [10] * 4], np.uint8), 8, axis=0))  # 16x8
    cropped, squashed, padded = (decoder(1, (8, 8), FITS[name])(encoded(wide))[0] for name in ("crop", "squash", "pad"))
    assert (cropped == 200).all()  # the centre
    assert squashed[0, 0] < 20 < 190 < squashed[0, 4]  # everything
    assert (padded[0] == 0).all()  # black above
    assert padded[4, 4] > 190


def test_height_comes_first():
    for fit in (crop, squash, pad):
        assert decoder(3, (4, 6), fit)(encoded(noise(3, (9, 5)))).shape == (3, 4, 6)


def test_a_large_jpeg_keeps_its_colours_when_decoded_small():
    big = flat("RGB", (200, 100, 50), (1000, 700))
    pixels = decoder()(encoded(big, "JPEG")).astype(int)
    assert np.abs(pixels - np.array([200, 100, 50])[:, None, None]).max() <= 4


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_decompression_bomb_is_never_unfolded(monkeypatch):
    bomb = encoded(Image.new("1", (13300, 13300)))
    assert len(bomb) < 200_000
    monkeypatch.setattr(Image.Image, "convert", None)  # would fail if it came so far
    with pytest.raises(ValueError, match="pixels"):
        decoder()(bomb)
    side = int(MAX_PIXELS**0.5) + 1
    with pytest.raises(ValueError, match=f"{side}x{side} pixels, more than the 64 million"):
        decoder()(encoded(Image.new("1", (side, side))))


def test_postscript_named_png_starts_nothing(monkeypatch):
    from PIL import EpsImagePlugin

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", None)
    with pytest.raises(ValueError, match="not a PNG, JPEG, BMP, GIF, WEBP, TIFF image"):
        decoder()(encoded(noise(0), "EPS"))


@pytest.mark.parametrize("data", [b"", b"<html>", encoded(noise(0, (64, 64)))[:3000]], ids=["empty", "html", "cut"])
def test_what_is_no_whole_image_raises(data):
    with pytest.raises((ValueError, OSError)):
        decoder()(data)


def many(tree, monkeypatch):
    """A listing that is long enough for processes, with one broken picture."""
    monkeypatch.setattr(room, "BAR_FROM", 100)
    monkeypatch.setattr(room.os, "cpu_count", lambda: 2)
    root = tree(*(f"{i:03d}.png" for i in range(200)))
    (root / "150.png").write_bytes(b"broken")
    return list_images(str(root))


def test_processes_decode_what_one_would(tree, zipped, monkeypatch):
    listing = many(tree, monkeypatch)
    for each in (listing, list_images(str(zipped(listing.source.root)))):
        out = room.shared((200, 3, 8, 8))
        faults = room.decode_all(each, decoder(), out)
        assert list(faults) == [150]
        alone = [decoder()(each.source.read(picture)) for i, picture in enumerate(each.pictures) if i != 150]
        assert np.array_equal(np.delete(out, 150, axis=0), np.stack(alone))


def killed(image, size):
    os._exit(9)


def test_a_process_that_is_killed_is_one_line(tree, monkeypatch):
    with pytest.raises(OSError, match="a process that decoded pictures was killed"):
        room.decode_all(many(tree, monkeypatch), Decoder(3, (8, 8), killed), room.shared((200, 3, 8, 8)))
