"""ADA's image-space filtering: four frequency bands, each louder or softer (Karras et al., 2020, appendix B)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ganrun.augmentations.chance import Chances, at_least_float32, normal, where_chosen
from ganrun.augmentations.resampling import fold
from ganrun.common.bounds import Share

# the low-pass filter of the symlet with two vanishing moments (Daubechies, 1992, table 6.1)
SYM2 = (-0.12940952255092145, 0.22414386804185735, 0.836516303737469, 0.48296291314469025)
POWER = (10 / 13, 1 / 13, 1 / 13, 1 / 13)  # expected share of each band in natural images: 1/f
GAIN = 1.0  # standard deviation of log2 of a band's factor


class AdaFilter(Chances):
    """Bands [0, π/8], [π/8, π/4], [π/4, π/2] and [π/2, π], from low to high; the total power stays as expected."""

    bands: Tensor  # (4, T) symmetric filters; their sum is the unit impulse
    power: Tensor  # (4,) POWER
    one_band: Tensor  # (4, 4) identity

    def __init__(self, low: Share = 0.0, middle: Share = 0.0, high: Share = 0.0, highest: Share = 0.0) -> None:
        super().__init__(low=low, middle=middle, high=high, highest=highest)
        self.register_buffer("bands", filter_bank(), persistent=False)
        self.register_buffer("power", torch.tensor(POWER), persistent=False)
        self.register_buffer("one_band", torch.eye(len(POWER)), persistent=False)

    def forward(self, images: Tensor, p: Tensor) -> Tensor:
        """(N, C, H, W), () p -> (N, C, H, W)"""
        if not self.on(*self.strengths):
            return images
        gains = self.gains(len(images), p)
        return where_chosen((gains != 1).any(1), images, self.filtered, gains)

    def filtered(self, images: Tensor, gains: Tensor) -> Tensor:
        """(N, C, H, W), (N, 4) factors of the bands -> (N, C, H, W)"""
        exact = at_least_float32(images)
        taps = (gains @ self.bands).to(exact.dtype)  # (N, T)
        n, c, height, width = images.shape
        more = taps.shape[1] // 2
        rows = fold(torch.arange(-more, height + more, device=images.device), height)
        columns = fold(torch.arange(-more, width + more, device=images.device), width)
        flat = exact[:, :, rows][:, :, :, columns].reshape(1, n * c, height + 2 * more, width + 2 * more)
        each = taps.repeat_interleave(c, 0)[:, None]
        flat = F.conv2d(F.conv2d(flat, each[..., None], groups=n * c), each[:, :, None], groups=n * c)
        return flat.view(images.shape).to(images.dtype)

    def gains(self, count: int, p: Tensor) -> Tensor:
        """(N, 4) factors of the bands."""
        total = torch.ones(count, len(POWER), device=p.device)
        for band, name in zip(self.one_band, self.strengths, strict=True):
            factor = torch.where(self.chosen(name, p, count), normal(count, GAIN, p).exp2(), torch.ones_like(p))
            gains = 1 + band * (factor[:, None] - 1)
            total = total * gains / (self.power * gains.square()).sum(1, keepdim=True).sqrt()
        return total


def filter_bank() -> Tensor:
    """(4, 43). With L(z) = H(z) H(1/z) / 2 and its mirror 1 − L: 1−L, L (1−L)(z²), L L(z²) (1−L)(z⁴), L L(z²) L(z⁴)."""
    taps = torch.tensor(SYM2, dtype=torch.float64)
    low = torch.nn.functional.conv1d(taps[None, None], taps[None, None], padding=3)[0, 0] / 2  # its autocorrelation
    levels = [stretched(low, 2**level) for level in range(3)]
    bands, below = [], torch.ones(1, dtype=torch.float64)
    for level in levels:
        bands.append(product(below, impulse(len(level)) - level))
        below = product(below, level)
    bands.append(below)
    return torch.stack([centred(band, len(below)) for band in reversed(bands)]).float()


def stretched(taps: Tensor, by: int) -> Tensor:
    """(T,) -> (by·(T − 1) + 1,) zeros between: z becomes z^by."""
    result = torch.zeros(by * (len(taps) - 1) + 1, dtype=taps.dtype)
    result[::by] = taps
    return result


def product(one: Tensor, other: Tensor) -> Tensor:
    """The filter that acts as the two after each other; both are symmetric."""
    return F.conv1d(one[None, None], other[None, None], padding=len(other) - 1)[0, 0]


def impulse(length: int) -> Tensor:
    return centred(torch.ones(1, dtype=torch.float64), length)


def centred(taps: Tensor, length: int) -> Tensor:
    more = (length - len(taps)) // 2
    return F.pad(taps, (more, more))
