import pytest
from torch import nn

from ganrun.networks.deconv import DeconvGenerator


def test_the_layers_are_those_of_the_recipe():
    generator = DeconvGenerator(100, 1, 32)
    dense = generator.layers[0]
    assert (dense.in_features, dense.out_features, dense.bias) == (100, 4 * 4 * 512, None)
    deconvolutions = [m for m in generator.modules() if isinstance(m, nn.ConvTranspose2d)]
    assert [m.out_channels for m in deconvolutions] == [256, 128, 64, 1]
    assert [m.stride[0] for m in deconvolutions] == [1, 2, 2, 2]
    assert {m.kernel_size for m in deconvolutions} == {(5, 5)}
    assert {m.negative_slope for m in generator.modules() if isinstance(m, nn.LeakyReLU)} == {0.3}


def test_every_layer_but_the_images_is_normalised():
    names = [type(m).__name__ for m in DeconvGenerator(4, 1, 8, 1).layers]
    assert names == [
        *["Linear", "BatchNorm1d", "LeakyReLU", "Unflatten"],
        *["ConvTranspose2d", "BatchNorm2d", "LeakyReLU"] * 3,
        *["ConvTranspose2d", "Tanh"],
    ]


def test_a_size_that_is_no_multiple_of_eight_is_refused():
    with pytest.raises(
        ValueError, match=r"^image_size=28: DeconvGenerator .* 8; nearest: 24 or 32 \(dataset.image_size=24\)$"
    ):
        DeconvGenerator(4, 1, 28)
