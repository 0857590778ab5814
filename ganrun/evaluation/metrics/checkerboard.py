"""Checkerboard: how far the period of a stride stands out in the spectrum of pictures (Odena et al., 2016)."""

from __future__ import annotations

from math import gcd

import torch
from torch import Tensor

NEAR = (2, 3, 4)  # bins from the peak; the Hann window spreads a peak over the bins beside its own


def checkerboard(images: Tensor, period: int = 2) -> float:
    """(N, C, H, W) -> the energy at this period, in pixels, over that of its neighbourhood in the spectrum.

    The frequencies (i/p, j/p) are those of a pattern that repeats every p pixels and no more often. Each is compared
    with the mean of the square ring two to four bins around it, and the largest ratio counts. The spectrum is the mean
    of all images and channels, so that what only one picture shows is small in it. Photographs have about 1.
    Raises ValueError for sides that are no multiple of the period, and below 16 periods.
    """
    height, width = images.shape[2:]
    if height % period or width % period or min(height, width) < 16 * period:
        raise ValueError(
            f"a period of {period} pixels needs sides that are multiples of it and at least {16 * period}, "
            f"not {height}×{width}"
        )
    power = spectrum(images)
    steps = [(i, j) for i in range(period) for j in range(period) if gcd(i, j, period) == 1]
    peaks = [(i * height // period, j * width // period) for i, j in steps]
    return max((power[peak] / around(power, *peak)).item() for peak in peaks)


def spectrum(images: Tensor) -> Tensor:
    """(N, C, H, W) -> (H, W) float64, the mean power of the frequencies, the mean of each picture taken away."""
    images = images.double()
    height, width = images.shape[2:]
    window = torch.outer(torch.hann_window(height, dtype=torch.double), torch.hann_window(width, dtype=torch.double))
    centred = images - images.mean((2, 3), keepdim=True)
    return torch.fft.fft2(centred * window.to(images.device)).abs().square().mean((0, 1))


def around(power: Tensor, row: int, column: int) -> Tensor:
    """(H, W) -> () the mean over the ring around a bin; the spectrum is periodic."""
    far = NEAR[-1]
    offsets = [(y, x) for y in range(-far, far + 1) for x in range(-far, far + 1) if max(abs(y), abs(x)) in NEAR]
    rows, columns = (torch.tensor(part) for part in zip(*offsets, strict=True))
    return power[(row + rows) % power.shape[0], (column + columns) % power.shape[1]].mean()
