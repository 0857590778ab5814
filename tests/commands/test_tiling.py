"""tiling: a picture in tiles is the picture whole."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganrun.commands.apply.tiling import in_tiles, shares, spans
from ganrun.networks.srresnet import SRResNet
from ganrun.networks.unet import UNetGenerator


def picture(height: int = 150, width: int = 203, channels: int = 1) -> Tensor:
    """Smooth, so that any step is the seam's."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    return torch.stack([torch.sin(2 * y + channel) * x for channel in range(channels)])[None]


@pytest.mark.parametrize(("tile", "overlap"), [(64, 32), (64, 16), (40, 8), (33, 5), (16, 0), (17, 1)])
def test_an_identity_in_tiles_is_an_identity(tile: int, overlap: int) -> None:
    x = picture()
    sizes = []

    def identity(part: Tensor) -> Tensor:
        sizes.append(max(part.shape[2:]))
        return part

    assert (in_tiles(identity, x, tile, overlap) - x).abs().max() < 1e-6
    assert max(sizes) <= tile


@pytest.mark.parametrize("side", [65, 96, 97, 100, 1000])
def test_tiles_share_their_overlap_and_their_shares_add_up_to_one(side: int) -> None:
    tiles = spans(side, 64, 16)
    assert tiles[0][0] == 0
    assert tiles[-1][1] == side
    assert all(start % 16 == 0 and end - start <= 64 for start, end in tiles)
    assert all(before[1] - after[0] >= 16 for before, after in pairwise(tiles))
    total = torch.zeros(side)
    for (start, end), share in zip(tiles, shares(tiles, side, 16), strict=True):
        total[start:end] += share
    assert torch.allclose(total, torch.ones(side))


def test_a_hand_worked_row_of_tiles() -> None:
    assert spans(100, 40, 8) == [(0, 40), (32, 72), (64, 100)]


@torch.no_grad()
def test_what_a_small_network_feels_of_a_tiles_border_is_dropped() -> None:
    """Two 3×3 convolutions reach two pixels; a quarter of the overlap is eight."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.Tanh(), nn.Conv2d(8, 1, 3, padding=1))
    x = picture()
    assert (in_tiles(network, x, 64, 32) - network(x)).abs().max() < 1e-5


@torch.no_grad()
def test_an_enlarging_network_in_tiles_is_the_same_network_whole() -> None:
    torch.manual_seed(0)
    network = SRResNet(channels=3, scale=2, base_channels=4, blocks=1)
    x = picture(channels=3)
    tiled = in_tiles(network, x, 96, 48)
    assert tiled.shape == (1, 3, 300, 406)
    assert (tiled - network(x)).abs().max() < 1e-3


@torch.no_grad()
def test_no_step_shows_where_tiles_meet_even_if_each_has_a_tone_of_its_own() -> None:
    """A network as bad for tiles as can be: every tile gets another brightness. The fade leaves no step of it."""
    tones = iter([0.0, 1.0] * 50)
    row = in_tiles(lambda part: torch.full_like(part, next(tones)), torch.zeros(1, 1, 64, 400), 64, 32)[0, 0, 0]
    assert row.max() - row.min() == pytest.approx(1)
    assert row.diff().abs().max() <= 1 / 16 + 1e-6  # the fade is half of the overlap, 16 pixels, wide


@torch.no_grad()
def test_a_deep_unet_leaves_no_larger_steps_at_the_borders_than_elsewhere() -> None:
    torch.manual_seed(0)
    network = UNetGenerator(channels=1, image_size=64, base_channels=4, dropout=0.0, residual=True).eval()
    x = F.avg_pool2d(torch.rand(1, 1, 258, 258) * 2 - 1, 3, stride=1)  # 256 × 256
    steps = in_tiles(network, x, 128, 32).diff(dim=3).abs().mean((0, 1, 2))
    whole = network(x).diff(dim=3).abs().mean((0, 1, 2))
    for border in (96, 128, 192, 224):
        assert steps[border - 17 : border + 17].max() < 1.2 * whole.max()


def test_null_tile_and_small_pictures_go_through_whole() -> None:
    for tile, size in ((None, 500), (64, 64)):
        seen: list[Tensor] = []
        in_tiles(lambda part, seen=seen: seen.append(part) or part, torch.zeros(1, 1, 10, size), tile, 32)
        assert [part.shape[3] for part in seen] == [size]


def test_a_network_that_does_not_enlarge_by_a_whole_factor_is_refused() -> None:
    with pytest.raises(ValueError, match="no whole factor"):
        in_tiles(lambda part: part[:, :, 1:], torch.zeros(1, 1, 9, 9), None, 0)
