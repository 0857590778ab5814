"""Skip-layer excitation: a small feature map scales the channels of a much larger one (Liu et al., 2021)."""

from __future__ import annotations

from torch import Tensor, nn

from ganrun.common.bounds import Setting, Whole
from ganrun.networks.sizes import Grid

SLOPE = 0.2  # of LeakyReLU
APART = 4  # doublings between the two maps: 8×8 scales 128×128
EARLIEST = 1  # the paper's pairs begin one doubling after the start grid


class SkipExcitation(nn.Module):
    """F(x_low) · x_high: one number in (0, 1) for each channel of the larger map (section 3.1).

    F: pooling to 4×4 places, a 4×4 convolution to one place, LeakyReLU, a 1×1 convolution to the channels of the
    larger map, the sigmoid. The places are those of the generator's `grid`, which is 4×4 for powers of two; the
    smaller map has `doublings` more.
    """

    couples_images = False

    def __init__(
        self, low_channels: Setting, high_channels: Setting, doublings: Whole = 0, grid: Grid = (4, 4)
    ) -> None:
        super().__init__()
        self.gate = nn.Sequential(
            nn.AvgPool2d(2**doublings),  # AdaptiveAvgPool2d has no deterministic gradient on CUDA
            nn.Conv2d(low_channels, low_channels, grid),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(low_channels, high_channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        """(N, low_channels, h, w), (N, high_channels, H, W) -> (N, high_channels, H, W)"""
        return self.gate(low) * high


def skip_pairs(doublings: int) -> dict[int, int]:
    """{larger map: smaller map}, each counted in doublings of the start grid.

    The sides differ by 16: 8 and 128, 16 and 256, 32 and 512 pixels, as in the paper. An image too small for such
    a pair has one: from the start grid to the image. 7 doublings -> {5: 1, 6: 2, 7: 3}, 3 doublings -> {3: 0}.
    """
    pairs = {low + APART: low for low in range(EARLIEST, doublings - APART + 1)}
    return pairs or {doublings: 0}
