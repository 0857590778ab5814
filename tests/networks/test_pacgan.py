"""PacGAN's dense networks, by hand and by their counts."""

from __future__ import annotations

import torch

from ganrun.networks.pacgan import Maxout, MaxoutDiscriminator, PointGenerator


def weights(network: torch.nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters())


def test_maxout_is_the_largest_of_its_linear_pieces() -> None:
    layer = Maxout(1, 2, 3)
    with torch.no_grad():
        layer.linear.weight.copy_(torch.tensor([1.0, 0, -1, 0, 0, 2])[:, None])  # pieces (1, 0), (-1, 0), (0, 2)
        layer.linear.bias.zero_()
    assert layer(torch.tensor([[3.0], [-2.0]])).tolist() == [[3.0, 6.0], [2.0, 0.0]]


def test_they_have_the_published_widths() -> None:
    with torch.device("meta"):
        generator, one, four = PointGenerator(2, 2, 1), MaxoutDiscriminator(2, 1), MaxoutDiscriminator(2, 1, pack=4)
    hidden = 2 * 400 + 3 * 400 * 400 + 4 * 2 * 400  # no biases before BatchNorm
    assert weights(generator) == hidden + 400 * 2 + 2
    dense = [(2 + 1) * 1000, (200 + 1) * 1000, (200 + 1) * 1000, 200 + 1]
    assert weights(one) == sum(dense)
    assert weights(four) == sum(dense) + 6 * 1000  # four points of two numbers


def test_the_plane_s_own_unit_is_that_of_the_dense_layers() -> None:
    torch.manual_seed(0)
    wide, narrow = MaxoutDiscriminator(2, 1, [4], half_width=5), MaxoutDiscriminator(2, 1, [4])
    narrow.load_state_dict(wide.state_dict())
    points = torch.randn(3, 2, 1, 1)
    assert torch.equal(wide(points), narrow(5 * points))
    large, small = PointGenerator(2, 2, 1, [4], half_width=5).eval(), PointGenerator(2, 2, 1, [4]).eval()
    small.load_state_dict(large.state_dict())
    assert torch.equal(5 * large(points[..., 0, 0]), small(points[..., 0, 0]))
