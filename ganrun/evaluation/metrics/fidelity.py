"""How close a picture is to its target: PSNR, SSIM and L1, of all channels or of the luma alone."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

L = 255.0  # the range of the pixels, for PSNR and SSIM
WINDOW, SIGMA = 11, 1.5  # pixels; the Gaussian window of Wang et al., 2004
C1, C2 = (0.01 * L) ** 2, (0.03 * L) ** 2  # K1 = 0.01 and K2 = 0.03 in the same paper
BLACK, LUMA = 16.0, (65.481, 128.553, 24.966)  # ITU-R BT.601: black of 8-bit studio range, and its share of each colour


def psnr(images: Tensor, targets: Tensor) -> Tensor:
    """Twice (N, C, H, W) in [-1, 1] -> (N,) decibels, 10 log10(255² / mse); infinite for equal pictures."""
    mse = (as_pixels(images) - as_pixels(targets)).square().flatten(1).mean(1)
    return 10 * torch.log10(L**2 / mse)


def l1(images: Tensor, targets: Tensor) -> Tensor:
    """Twice (N, C, H, W) in [-1, 1] -> (N,) mean absolute differences as a share of the range: black to white is 1."""
    return (images.double() - targets.double()).abs().flatten(1).mean(1) / 2


def luma(images: Tensor) -> Tensor:
    """(N, 3, H, W) RGB in [-1, 1] -> (N, 1, H, W) float64 in [-1, 1], the Y that papers on super-resolution score.

    On the scale of 0 to 255 it goes from 16 to 235, as that of 8-bit video, and PSNR(Y) still divides 255 by its error.
    Grey pictures (N, 1, H, W) are their own Y. Raises ValueError for another number of channels.
    """
    if images.shape[1] == 1:
        return images.double()
    if images.shape[1] != 3:
        raise ValueError(f"the Y of pictures with {images.shape[1]} channels is not known: it is that of grey or RGB")
    shares = torch.tensor(LUMA, dtype=torch.float64, device=images.device).view(3, 1, 1)
    y = BLACK + (as_pixels(images) / L * shares).sum(1, keepdim=True)
    return y / (L / 2) - 1


def cropped(images: Tensor, border: int) -> Tensor:
    """(N, C, H, W) without `border` pixels on each side. Raises ValueError where that leaves nothing."""
    height, width = images.shape[2:]
    if border and 2 * border >= min(height, width):
        raise ValueError(f"border={border} leaves nothing of a picture of {height}×{width} pixels")
    return images[:, :, border : height - border, border : width - border]


def ssim(images: Tensor, targets: Tensor) -> Tensor:
    """Twice (N, C, H, W) in [-1, 1] -> (N,) the mean of SSIM(x, y) over all windows and channels, at most 1.

    Equation 13 of Wang et al., 2004, with their Gaussian window of 11×11 pixels, σ = 1.5. Only windows that lie
    completely inside the picture count. Raises ValueError for pictures smaller than the window.
    """
    if min(images.shape[2:]) < WINDOW:
        raise ValueError(f"SSIM needs pictures of at least {WINDOW}×{WINDOW} pixels, the size of its window")
    x, y = as_pixels(images), as_pixels(targets)
    mu_x, mu_y = local_mean(x), local_mean(y)
    var_x, var_y = local_mean(x * x) - mu_x**2, local_mean(y * y) - mu_y**2
    cov = local_mean(x * y) - mu_x * mu_y
    similarity = (2 * mu_x * mu_y + C1) * (2 * cov + C2) / ((mu_x**2 + mu_y**2 + C1) * (var_x + var_y + C2))
    return similarity.flatten(1).mean(1)


def as_pixels(images: Tensor) -> Tensor:
    """[-1, 1] -> [0, 255], in float64: a variance here is the small difference of two large numbers."""
    return (images.double() + 1) * (L / 2)


def local_mean(images: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, C, H − 10, W − 10) means, weighted by the window.

    A Gaussian window is a column times a row, so two narrow convolutions do the work of a large one.
    """
    offsets = torch.arange(WINDOW, dtype=images.dtype, device=images.device) - WINDOW // 2
    weights = torch.exp(-(offsets**2) / (2 * SIGMA**2))
    weights = (weights / weights.sum()).view(1, 1, WINDOW, 1)
    planes = images.flatten(0, 1).unsqueeze(1)
    means = F.conv2d(F.conv2d(planes, weights), weights.transpose(2, 3))
    return means.view(*images.shape[:2], *means.shape[2:])
