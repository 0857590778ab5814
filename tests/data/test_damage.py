"""Each damage: its numbers by hand, its shapes, its randomness."""

import math

import pytest
import torch

from ganrun.data.damage import Blur, Damage, Jpeg, LowResolution, Mask, Mixture, Noise, SaltAndPepper

SAME_SIZE = [
    Noise(),
    Noise(shot=True),
    Noise([0, 50]),
    Blur(),
    Jpeg(),
    Mask("centre"),
    Mask("box"),
    Mask("stroke"),
    SaltAndPepper(),
    LowResolution(2, enlarge=True),
    Mixture([Noise(), Blur()]),
    Mixture([Blur(), Noise(), Jpeg()], chain=True),
]


def grey(*shape, level=0.0):
    return torch.full(shape, level)


def pictures(*shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(0)) * 2 - 1


def name(damage):
    return f"{type(damage).__name__}"


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("damage", SAME_SIZE, ids=name)
def test_a_damaged_picture_keeps_its_size_type_and_range_but_is_another(damage, channels):
    images = pictures(3, channels, 12, 18)
    before = images.clone()
    source = damage.added(images)["source"]
    assert source.shape == images.shape
    assert source.dtype == images.dtype
    assert -1 <= source.min() <= source.max() <= 1
    assert not torch.equal(source, images)
    assert torch.equal(images, before)


@pytest.mark.parametrize("damage", SAME_SIZE, ids=name)
def test_the_same_seed_is_the_same_damage(damage):
    images = pictures(4, 1, 12, 12)
    torch.manual_seed(3)
    first = damage(images)
    torch.manual_seed(3)
    assert torch.equal(first, damage(images))


@pytest.mark.parametrize(
    "damage", [Noise(), Blur([0.5, 3]), Mask("box", 0.3), Mask("stroke"), SaltAndPepper()], ids=name
)
def test_two_steps_and_two_images_are_damaged_differently(damage):
    images = pictures(1, 1, 16, 16).repeat(2, 1, 1, 1)
    torch.manual_seed(3)
    first, second = damage(images), damage(images)
    assert not torch.equal(first, second)
    assert not torch.equal(first[0], first[1])


def test_noise_of_25_levels_has_that_deviation_and_20_decibels_on_grey():
    torch.manual_seed(0)
    noise = Noise(25)(grey(64, 1, 32, 32)) * 127.5
    assert noise.std().item() == pytest.approx(25, rel=0.02)
    assert 10 * math.log10(255**2 / noise.square().mean()) == pytest.approx(20 * math.log10(255 / 25), abs=0.1)


def test_shot_noise_grows_with_the_square_root_of_the_light():
    torch.manual_seed(0)
    quarter = Noise(25, shot=True)(grey(64, 1, 32, 32, level=-0.5)) * 127.5  # a quarter of white: half the deviation
    assert quarter.std().item() == pytest.approx(12.5, rel=0.03)
    assert quarter.mean().item() == pytest.approx(-63.75, abs=0.5)
    assert torch.equal(Noise(25, shot=True)(grey(1, 1, 4, 4, level=-1)), grey(1, 1, 4, 4, level=-1))


def test_blur_spreads_a_point_as_the_gaussian_says_and_keeps_flat_pictures():
    point = grey(1, 1, 15, 15)
    point[0, 0, 7, 7] = 1
    blurred = Blur(1)(point)[0, 0]
    assert blurred.sum().item() == pytest.approx(1, abs=1e-5)
    assert (blurred[7, 8] / blurred[7, 7]).item() == pytest.approx(math.exp(-0.5), rel=1e-5)
    assert torch.allclose(Blur(2)(grey(2, 3, 5, 4, level=0.3)), grey(2, 3, 5, 4, level=0.3), atol=1e-6)


def test_each_image_of_a_batch_is_blurred_with_its_own_sigma_in_all_channels():
    torch.manual_seed(0)
    one = pictures(1, 1, 16, 16)
    blurred = Blur([0.5, 4])(one.expand(3, 3, -1, -1))
    assert torch.allclose(blurred[:, 0], blurred[:, 2], atol=1e-6)
    assert not torch.allclose(blurred[0], blurred[1], atol=1e-3)


def test_a_better_jpeg_is_nearer_to_the_picture():
    images = pictures(2, 3, 16, 16)
    poor, good = ((Jpeg(quality)(images) - images).square().mean() for quality in (5, 95))
    assert 0 < good < poor


def test_salt_and_pepper_turn_their_share_of_pixels_black_or_white():
    torch.manual_seed(0)
    source = SaltAndPepper(0.2)(grey(16, 3, 32, 32))
    assert (source == 1).float().mean().item() == pytest.approx(0.1, abs=0.01)
    assert (source == -1).float().mean().item() == pytest.approx(0.1, abs=0.01)
    assert torch.equal(source[:, 0], source[:, 2])


def test_low_resolution_is_the_mean_of_each_square():
    images = torch.tensor([[0.0, 1.0, -1.0, -1.0], [0.5, 0.5, 1.0, 0.0]])[None, None]
    assert LowResolution(2)(images).tolist() == [[[[0.5, -0.25]]]]
    assert LowResolution(4)(pictures(2, 3, 16, 8)).shape == (2, 3, 4, 2)
    assert (LowResolution(4).scale, LowResolution(4, enlarge=True).scale) == (4, 1)


def test_the_centre_mask_lies_in_the_centre():
    batch = Mask("centre", 0.5).added(grey(2, 3, 4, 8, level=1))
    hole = [[0] * 8, [0, 0, 1, 1, 1, 1, 0, 0], [0, 0, 1, 1, 1, 1, 0, 0], [0] * 8]
    assert batch["mask"].shape == (2, 1, 4, 8)
    assert batch["mask"][1, 0].tolist() == hole
    assert torch.equal(batch["source"], (1 - batch["mask"]).expand(-1, 3, -1, -1))


@pytest.mark.parametrize("shape", ["centre", "box", "stroke"])
@pytest.mark.parametrize("size", [0.25, 0.5, 1])
def test_every_hole_covers_the_same_share_and_is_grey_and_only_it(shape, size):
    torch.manual_seed(0)
    images = pictures(5, 1, 16, 32)
    batch = Mask(shape, size).added(images)
    assert batch["mask"].flatten(1).mean(1).tolist() == [size**2] * 5
    assert batch["source"][batch["mask"] == 1].abs().max() == 0
    assert torch.equal(batch["source"][batch["mask"] == 0], images[batch["mask"] == 0])


def test_a_mixture_gives_each_image_one_of_its_parts_and_a_chain_gives_all():
    torch.manual_seed(0)

    class Plus(Damage):
        def __init__(self, number):
            super().__init__()
            self.number = number

        def forward(self, images):
            return images + self.number

    parts = [Plus(0.25), Plus(0.5)]
    levels = Mixture(parts)(grey(64, 1, 2, 2)).flatten(1)
    assert set(levels.flatten().tolist()) == {0.25, 0.5}
    assert torch.equal(levels.amin(1), levels.amax(1))
    assert Mixture(parts, chain=True)(grey(3, 1, 1, 1)).flatten().tolist() == [0.75] * 3


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Noise(-1), r"noise\.sigma=-1 must be"),
        (lambda: Blur([3, 1]), r"blur\.sigma=\[3, 1\] must be"),
        (lambda: Blur("abc"), r"blur\.sigma=abc must be"),
        (lambda: Jpeg(0), r"jpeg\.quality=0 must lie between 1 and 100"),
        (lambda: SaltAndPepper(2), r"salt_and_pepper\.p=2"),
        (lambda: LowResolution(0), r"low_res\.factor=0"),
        (lambda: Mask("star"), r"mask\.shape=star must be one of centre, box, stroke"),
        (lambda: Mask(size=0), r"mask\.size=0"),
        (lambda: Mixture([]), r"mixture\.parts is empty"),
        (lambda: Mixture([LowResolution()]), r"low_res needs enlarge=true"),
    ],
)
def test_wrong_settings_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
