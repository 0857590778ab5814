import pytest
import torch
from torch import nn

from ganrun.networks.course import CourseDiscriminator, CourseGenerator


def count(network):
    return sum(weight.numel() for weight in network.parameters() if weight.requires_grad)


def test_the_pair_has_its_published_sizes():
    assert count(CourseGenerator(100, 1, 28)) == 855_809
    assert count(CourseDiscriminator(1, 28)) == 392_833


def test_batchnorm_is_kerass():
    for network in (CourseGenerator(4, 1, 8, 2), CourseDiscriminator(1, 8, 2)):
        norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
        assert {(m.momentum, m.eps) for m in norms} == {(0.2, 1e-3)}


def test_dropout_follows_every_activation_of_the_discriminator():
    layers = list(CourseDiscriminator(1, 28, 2, dropout=0.4).layers)
    after = [layers[i + 1] for i, layer in enumerate(layers) if isinstance(layer, nn.LeakyReLU)]
    assert [layer.p for layer in after] == [0.4] * 4


def test_without_a_norm_no_batchnorm_is_left():
    network = CourseDiscriminator(1, 28, 2, norm="none")
    assert not [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]


@pytest.mark.parametrize(("size", "places"), [(28, 4 * 4), (32, 4 * 4), (20, 3 * 3), ([28, 24], 4 * 3)])
def test_an_odd_quarter_is_padded_to_an_even_one(size, places):
    assert CourseDiscriminator(1, size, 2).layers[-1].in_features == 16 * places


def test_the_spare_row_and_column_go_below_and_to_the_right():
    convolution = nn.Sequential(*list(CourseDiscriminator(1, 4, 1).layers)[:2])
    nn.init.ones_(convolution[1].weight)
    seen = convolution(torch.arange(16.0).view(1, 1, 4, 4))[0, 0]
    # 3x3 windows at (0, 0), (0, 2), (2, 0), (2, 2): the last one sees only 10, 11, 14, 15
    assert seen.tolist() == [[45, 39], [66, 50]]


def test_a_size_that_is_no_multiple_of_four_is_refused():
    with pytest.raises(
        ValueError, match=r"^image_size=30: CourseGenerator .* 4; nearest: 28 or 32 \(dataset.image_size=28\)$"
    ):
        CourseGenerator(4, 1, 30)
    with pytest.raises(ValueError, match=r"^image_size=\[28, 30\]: CourseDiscriminator .* 4; nearest: 28 or "):
        CourseDiscriminator(1, [28, 30])
