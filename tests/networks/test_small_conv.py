import pytest
from torch import nn

from ganrun.networks.small_conv import SmallConvDiscriminator, SmallConvGenerator


def test_the_layers_are_those_of_the_recipe():
    generator, discriminator = SmallConvGenerator(100, 3, 64), SmallConvDiscriminator(3, 64)
    assert generator.layers[0].out_features == 4 * 4 * 128
    deconvolutions = [m for m in generator.modules() if isinstance(m, nn.ConvTranspose2d)]
    assert [m.out_channels for m in deconvolutions] == [64, 32, 16, 16]
    convolutions = [m for m in discriminator.modules() if isinstance(m, nn.Conv2d)]
    assert [m.out_channels for m in convolutions] == [16, 16, 32, 32, 64, 64, 128, 128]
    assert [m.stride[0] for m in convolutions] == [1, 2] * 4
    assert discriminator.layers[-1].in_features == 128


def test_the_discriminator_activates_once_a_block():
    names = [type(m).__name__ for m in SmallConvDiscriminator(3, 16, 1).layers]
    block = ["Conv2d", "BatchNorm2d", "Conv2d", "BatchNorm2d", "LeakyReLU"]
    assert names == [*block * 4, "AdaptiveAvgPool2d", "Flatten", "Linear"]


@pytest.mark.parametrize(
    "network", [lambda size: SmallConvGenerator(4, 3, size), lambda size: SmallConvDiscriminator(3, size)]
)
def test_a_size_that_is_no_multiple_of_sixteen_is_refused(network):
    with pytest.raises(
        ValueError, match=r"^image_size=\[64, 70\]: .* 16; nearest: 64 or \[64, 80\] \(dataset.image_size=64\)$"
    ):
        network([64, 70])
