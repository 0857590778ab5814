"""The parts of a degradation: each has the statistics of its definition, and a chain ends where it says."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
import torch
import torch.nn.functional as F

from ganrun.common.seeding import reseed
from ganrun.data import kernel_blur
from ganrun.data.blur_kernels import Gaussian, GeneralizedGaussian, Plateau, Sinc, offsets
from ganrun.data.chains import Chain, Degradation, OneOf, Sometimes
from ganrun.data.damage import Damage, Jpeg, LowResolution
from ganrun.data.kernel_blur import KernelBlur, by_convolution, by_fourier, fast_length
from ganrun.data.noises import GaussianNoise, PoissonNoise
from ganrun.data.resizing import FinalSize, RandomResize
from ganrun.data.webp import WebP


class Plus(Damage):
    def __init__(self, number: float) -> None:
        super().__init__()
        self.number = number

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images + self.number


class Times(Plus):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images * self.number


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def grey(*shape: int, level: float = 0.0) -> torch.Tensor:
    return torch.full(shape, level)


def smooth(*shape: int) -> torch.Tensor:
    """Pictures with edges and areas, unlike noise."""
    return F.interpolate(torch.rand(shape[0], shape[1], 4, 4), shape[2:], mode="bicubic").clamp(0, 1) * 2 - 1


def covariance(kernel: torch.Tensor) -> torch.Tensor:
    """(K, K), its sum 1 -> (2, 2) of (column, row)."""
    rows, columns = offsets(kernel.shape[0] // 2)
    places = torch.stack([columns, rows]).flatten(1)
    return places * kernel.flatten() @ places.T


# -- kernels --------------------------------------------------------------------------------------------------------


def test_each_kernel_has_the_sum_1_and_a_side_from_the_range() -> None:
    kinds = {"gaussian": Gaussian(), "general": GeneralizedGaussian(), "plateau": Plateau(), "sinc": Sinc()}
    blur = KernelBlur(kinds, dict.fromkeys(kinds, 0.25), [7, 21])
    kernels = blur.draw(400)
    assert torch.allclose(kernels.sum((1, 2)), torch.ones(400), atol=1e-5)
    centre = kernels.shape[1] // 2
    edges = torch.stack([kernels[:, centre, centre + r].abs() > 0 for r in range(3, 11)])  # a sinc may cross 0 there
    assert kernels.shape[1] == 21
    assert (edges.float().mean(1).diff() <= 0.01).all()
    assert len(edges[:, :].sum(0).unique()) >= 8


def test_a_gaussian_has_the_covariance_asked_for() -> None:
    (isotropic,) = KernelBlur({"g": Gaussian([2, 2], 0)}, {"g": 1}, [21, 21]).draw(1)
    assert torch.allclose(covariance(isotropic), 4 * torch.eye(2), atol=0.01)
    kernels = KernelBlur({"g": Gaussian([1, 2.5], 1)}, {"g": 1}, [25, 25]).draw(300)
    axes = torch.stack([torch.linalg.eigvalsh(covariance(kernel)) for kernel in kernels]).sqrt()
    assert axes.min() > 0.98
    assert axes.max() < 2.51
    assert axes.mean().item() == pytest.approx(1.75, abs=0.05)
    tilted = torch.stack([covariance(kernel)[0, 1] for kernel in kernels])
    assert tilted.min() < -1 < 1 < tilted.max()  # angles of both signs


def test_generalized_and_plateau_kernels_follow_their_equations() -> None:
    """Each value by hand, one pixel and two pixels from the centre, as ratios to the centre."""
    (general,) = GeneralizedGaussian([2, 2], 0, [3, 3]).draw(1, 5)
    (plateau,) = Plateau([2, 2], 0, [1.5, 1.5]).draw(1, 5)
    for pixels in (1, 2, 5):
        squared = (pixels / 2) ** 2
        assert general[5, 5 + pixels].item() == pytest.approx(math.exp(-0.5 * squared**3), rel=1e-4)
        assert plateau[5 + pixels, 5].item() == pytest.approx(1 / (1 + squared**1.5), rel=1e-4)
    (as_gaussian,) = GeneralizedGaussian([2, 2], 0, [1, 1]).draw(1, 5)
    assert torch.allclose(as_gaussian, Gaussian([2, 2], 0).draw(1, 5)[0])


@pytest.mark.parametrize("share", [0.4, 0.7])
def test_sinc_passes_what_lies_below_its_cutoff_and_stops_the_rest(share: float) -> None:
    (kernel,) = KernelBlur({"s": Sinc([share, share])}, {"s": 1}, [101, 101]).draw(1)
    response = torch.fft.fft2(torch.fft.ifftshift(kernel)).real
    frequency = torch.fft.fftfreq(101) * 2  # share of the highest one
    radius = torch.hypot(frequency[:, None], frequency[None])
    assert response[radius < share - 0.05].sub(1).abs().max() < 0.1
    assert response[(radius > share + 0.05) & (radius < 1)].abs().max() < 0.1


def test_sinc_rings_beside_an_edge() -> None:
    edge = torch.cat([grey(1, 1, 32, 16, level=-0.5), grey(1, 1, 32, 16, level=0.5)], 3)
    found = KernelBlur({"s": Sinc([0.4, 0.4])}, {"s": 1}, [21, 21])(edge)
    assert found.max() > 0.52
    assert found.min() < -0.52


@pytest.mark.parametrize("side", [3, 21])
def test_the_fast_ways_to_filter_give_what_a_plain_convolution_gives(side: int) -> None:
    images, kernels = torch.rand(4, 3, 19, 31) * 2 - 1, torch.rand(4, side, side)
    kernels /= kernels.sum((1, 2), keepdim=True)
    padded = F.pad(images, [side // 2] * 4, "replicate")
    plain = torch.stack(
        [F.conv2d(one[:, None], kernel[None, None])[:, 0] for one, kernel in zip(padded, kernels, strict=True)]
    )
    assert torch.allclose(by_convolution(padded, kernels), plain, atol=1e-6)
    assert torch.allclose(by_fourier(padded, kernels), plain, atol=1e-6)
    assert torch.allclose(kernel_blur.filtered(images, kernels), plain, atol=1e-6)
    assert [fast_length(length) for length in (7, 128, 276, 283)] == [8, 128, 288, 288]


# -- noise ----------------------------------------------------------------------------------------------------------


def test_gaussian_noise_has_its_deviation_and_grey_noise_is_the_same_in_all_channels() -> None:
    images = grey(200, 3, 16, 16)
    noise = GaussianNoise([10, 10], 0.4)(images) * 127.5
    assert noise.std().item() == pytest.approx(10, rel=0.02)
    alike = (noise[:, 0] == noise[:, 2]).flatten(1).all(1)
    assert alike.float().mean().item() == pytest.approx(0.4, abs=0.1)
    deviations = (GaussianNoise([1, 30], 0)(images) * 127.5).flatten(1).std(1)
    assert (deviations.min().item(), deviations.max().item()) == pytest.approx((1, 30), abs=1.5)
    assert deviations.mean().item() == pytest.approx(15.5, abs=1.5)


@pytest.mark.parametrize("level", [5, 30, 120])
def test_the_variance_of_poisson_noise_is_the_brightness_times_its_scale_squared(level: int) -> None:
    """On both sides of the level from which an approximation is taken; the skewness of Poisson noise is 1/√level."""
    noise = (PoissonNoise([1.5, 1.5], 0)(grey(100, 3, 32, 32, level=level / 127.5 - 1)) + 1) * 127.5 - level
    inner = noise / 1.5
    if level > 5:  # darker noise is cut off at black
        assert noise.var().item() == pytest.approx(1.5**2 * level, rel=0.02)
        assert noise.mean().item() == pytest.approx(0, abs=0.1)
        assert ((inner**3).mean() / level**1.5).item() == pytest.approx(level**-0.5, abs=0.03)
    exact = (PoissonNoise([0.5, 0.5], 0)(grey(100, 3, 32, 32, level=level / 127.5 - 1)) + 1) * 127.5 - level
    assert exact.var().item() == pytest.approx(0.25 * level, rel=0.02)


def test_grey_poisson_noise_is_the_same_in_all_channels_of_a_coloured_picture() -> None:
    images = torch.tensor([0.2, 0.0, -0.2])[None, :, None, None].expand(50, 3, 16, 16)
    noise = PoissonNoise([1, 1], 1)(images) - images
    assert torch.allclose(noise[:, 0], noise[:, 2], atol=1e-6)
    assert PoissonNoise([1, 1], 0.5)(grey(4, 1, 8, 8)).shape == (4, 1, 8, 8)


# -- sizes ----------------------------------------------------------------------------------------------------------


def test_the_factors_of_resizing_have_their_shares_and_ranges() -> None:
    resize = RandomResize({"down": 0.5, "up": 0.2, "keep": 0.3}, [0.4, 0.8], [1.2, 1.5])
    factors = torch.tensor([resize.factor() for _ in range(2000)])
    down, up = factors[factors < 1], factors[factors > 1]
    assert len(down) / 2000 == pytest.approx(0.5, abs=0.04)
    assert len(up) / 2000 == pytest.approx(0.2, abs=0.04)
    assert (down.min().item(), down.max().item()) == pytest.approx((0.4, 0.8), abs=0.01)
    assert (up.min().item(), up.max().item()) == pytest.approx((1.2, 1.5), abs=0.01)
    assert down.mean().item() == pytest.approx(0.6, abs=0.01)


def test_each_filter_of_resizing_is_drawn() -> None:
    image = smooth(1, 3, 16, 16)
    resize = RandomResize({"down": 1, "up": 0, "keep": 0}, [0.375, 0.375])
    found = {tuple(resize(image).flatten().tolist()) for _ in range(30)}
    ways = {tuple(F.interpolate(image, (6, 6), mode=way).clamp(-1, 1).flatten().tolist()) for way in resize.filters}
    assert found == ways
    assert len(ways) == 3


@pytest.mark.parametrize("factor", [1, 2, 4])
@pytest.mark.parametrize("channels", [1, 3])
def test_two_rounds_with_random_sizes_end_at_the_size_of_the_source(factor: int, channels: int) -> None:
    rounds = {name: Chain({"resize": RandomResize(), "noise": GaussianNoise()}) for name in ("first", "second")}
    whole = Degradation({**rounds, "size": FinalSize()}, factor, group=2)
    assert whole(smooth(5, channels, 24, 32)).shape == (5, channels, 24 // factor, 32 // factor)
    assert whole.scale == factor


def test_the_size_of_a_picture_in_a_chain_is_random_and_drawn_for_each_group() -> None:
    seen = []

    class Look(Damage):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            seen.append((len(images), images.shape[2]))
            return images

    parts = {"resize": RandomResize(), "look": Look(), "size": FinalSize()}
    Degradation(parts, 1, group=1)(smooth(24, 1, 32, 32))
    assert {count for count, _ in seen} == {1}
    assert len({side for _, side in seen}) > 8
    seen.clear()
    Degradation(parts, 1, group=5)(smooth(12, 1, 32, 32))
    assert [count for count, _ in seen] == [5, 5, 2]


# -- order, chance and files ----------------------------------------------------------------------------------------


def test_the_order_is_random_where_it_is_asked_for() -> None:
    parts = {"plus": Plus(1), "times": Times(2)}
    orders = [Chain(parts, shuffled=True)(grey(1, 1, 1, 1)).item() for _ in range(100)]
    assert set(orders) == {1.0, 2.0}  # 0·2 + 1 and (0 + 1)·2
    assert 30 < orders.count(1.0) < 70
    assert {Chain(parts)(grey(1, 1, 1, 1)).item() for _ in range(20)} == {2.0}


def test_sometimes_and_one_of_damage_their_share_of_pictures() -> None:
    images = grey(2000, 1, 1, 1)
    assert Sometimes(Plus(1), 0.8)(images).mean().item() == pytest.approx(0.8, abs=0.03)
    some = OneOf({"one": Plus(1), "two": Plus(2)}, {"one": 0.3, "two": 0.1})(images).flatten()
    assert (some == 1).float().mean().item() == pytest.approx(0.75, abs=0.03)
    assert (some == 2).float().mean().item() == pytest.approx(0.25, abs=0.03)


@pytest.mark.parametrize("made", [Jpeg, WebP])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_better_file_is_nearer_and_the_quality_lies_in_the_range(made: type, channels: int) -> None:
    image = smooth(1, channels, 32, 32) + 0.2 * torch.randn(1, channels, 32, 32)
    image = image.clamp(-1, 1)
    fixed = [(made([quality, quality])(image) - image).square().mean().item() for quality in (30, 60, 95)]
    assert fixed == sorted(fixed, reverse=True)
    drawn = (made([30, 95])(image.expand(60, -1, -1, -1)) - image).square().flatten(1).mean(1)
    assert fixed[2] * 0.98 <= drawn.min().item() <= drawn.max().item() <= fixed[0] * 1.05
    assert len(drawn.unique()) > 20


def test_a_degradation_is_a_function_of_seed_and_step() -> None:
    kinds = {"gaussian": Gaussian(), "sinc": Sinc()}
    whole = Degradation(
        {
            "blur": KernelBlur(kinds, {"gaussian": 0.5, "sinc": 0.5}),
            "resize": RandomResize(),
            "noise": OneOf({"g": GaussianNoise(), "p": PoissonNoise()}, {"g": 0.5, "p": 0.5}),
            "last": Chain({"size": FinalSize(), "file": WebP()}, shuffled=True),
        },
        2,
    )
    images = smooth(6, 3, 32, 32)

    def drawn(*seed: int) -> torch.Tensor:
        reseed(*seed)
        return whole(images)

    assert torch.equal(drawn(0, 5), drawn(0, 5))
    assert not torch.equal(drawn(0, 5), drawn(0, 6))
    assert not torch.equal(drawn(0, 5), drawn(1, 5))


# -- bad input ------------------------------------------------------------------------------------------------------

RESIZE, SIZE = RandomResize(), FinalSize()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Degradation({"resize": RESIZE}), r"parts end at random sizes, but factor=1 needs 1: .*FinalSize"),
        (lambda: Degradation({"size": SIZE, "resize": RESIZE}, 2), r"at random sizes, but factor=2 needs 1/2"),
        (lambda: Degradation({"low": LowResolution(4)}, 2), r"at 1/4 of the target's sides, but factor=2 needs 1/2"),
        (lambda: Degradation({}), r"parts is empty"),
        (
            lambda: Chain({"a": RESIZE, "b": SIZE}, True),
            r"a and b change the size: .* only one part may change the size; move",
        ),
        (lambda: Chain({"a": RESIZE}).scale, r"put it into ganrun\.data\.chains\.Degradation"),
        (lambda: Sometimes(RESIZE), r"part changes the size of some pictures"),
        (lambda: Sometimes(Plus(1), 1.5), r"p=1\.5 must lie between 0 and 1"),
        (lambda: OneOf({"a": Plus(1)}, {"b": 1}), r"shares names b, but the parts are a"),
        (lambda: OneOf({"a": Plus(1)}, {"a": 0}), r"at least one must be above 0"),
        (lambda: OneOf({"a": Plus(1)}, {"a": -1}), r"shares\.a=-1 must lie between 0 and 1"),
        (lambda: OneOf({"a": SIZE}, {"a": 1}), r"parts\.a changes the size"),
        (lambda: Gaussian([3, 1]), r"sigma=\[3, 1\] must be \[low, high\]"),
        (lambda: Sinc([0.5, 2]), r"cutoff=\[0\.5, 2\] must be \[low, high\], from 0\.05 to 1"),
        (lambda: RandomResize(smaller=[0.5, 2]), r"smaller=\[0\.5, 2\]"),
        (lambda: RandomResize(filters=["nearest"]), r"filters=\['nearest'\] must be a list of area"),
        (lambda: WebP([95, 30]), r"quality=\[95, 30\]"),
        (lambda: GaussianNoise([1]), r"sigma=\[1\] must be \[low, high\]"),
        (lambda: KernelBlur({"s": Sinc()}, {"s": 1}, [8, 20]), r"size=\[8, 20\] must be .* odd numbers"),
    ],
)
def test_wrong_settings_are_named(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_a_share_of_the_sides_is_followed_through_the_parts() -> None:
    half = Fraction(1, 2)
    assert Chain({"low": LowResolution(2), "plus": Plus(1)}).scale == 2
    assert Chain({"a": RESIZE, "b": SIZE}).share_after(Fraction(1), half) == half
    assert Chain({"a": SIZE, "b": RESIZE}).share_after(Fraction(1), half) is None
