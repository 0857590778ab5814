"""The residual pair: widths of the papers, blocks against their slow form, where attention stands, first weights."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ganrun.networks.attention import SelfAttention2d
from ganrun.networks.biggan import BigGANDiscriminator, BigGANGenerator
from ganrun.networks.norms import find_norm
from ganrun.networks.residual import DownBlock, UpBlock
from ganrun.networks.resnet_gan import ResNetDiscriminator, ResNetGenerator


def conv(layer, x):
    return F.conv2d(x, layer.weight, layer.bias, padding=layer.kernel_size[0] // 2)


def test_an_up_block_is_the_sum_of_two_doubled_paths():
    torch.manual_seed(0)
    block, x = UpBlock(3, 4, nn.BatchNorm2d), torch.randn(2, 3, 5, 4)
    up = F.interpolate(F.relu(F.batch_norm(x, None, None, training=True)), scale_factor=2)
    h = F.relu(F.batch_norm(conv(block.conv1, up), None, None, training=True))
    expected = conv(block.conv2, h) + conv(block.skip, F.interpolate(x, scale_factor=2))
    torch.testing.assert_close(block(x, None), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("first", [True, False])
def test_a_down_block_is_the_sum_of_two_halved_paths(first):
    torch.manual_seed(0)
    block, x = DownBlock(3, 4, find_norm("none"), first=first), torch.randn(2, 3, 6, 4)
    convs = [layer for layer in block.layers if isinstance(layer, nn.Conv2d)]
    assert convs[0].out_channels == (4 if first else 3)
    h = conv(convs[1], F.relu(conv(convs[0], x if first else F.relu(x))))
    expected = F.avg_pool2d(h + conv(block.skip[1], x), 2)
    torch.testing.assert_close(block(x), expected, rtol=1e-4, atol=1e-5)


def test_a_down_block_that_changes_nothing_has_a_plain_bypass():
    block = DownBlock(4, 4, find_norm("none"), halves=False)
    assert len(block.skip) == 0
    assert len(DownBlock(3, 4, find_norm("none"), halves=False).skip) == 1


@pytest.mark.parametrize(
    ("size", "generator", "discriminator"),
    [
        (16, [4, 4], [2, 2, 2, 2]),
        (28, [4, 4], [2, 2, 2, 2]),
        (32, [4, 4, 4], [2, 2, 2, 2]),
        (64, [8, 4, 2, 1], [1, 2, 4, 8, 16]),
        (128, [16, 8, 4, 2, 1], [1, 2, 4, 8, 16, 16]),
        (256, [16, 16, 8, 4, 2, 1], [1, 2, 4, 8, 16, 16, 16]),
    ],
)
def test_widths_are_those_of_sngan(size, generator, discriminator):
    assert up_widths(ResNetGenerator(8, 3, size, 1)) == generator
    assert down_widths(ResNetDiscriminator(3, size, 1)) == discriminator


@pytest.mark.parametrize(
    ("size", "generator", "discriminator"),
    [
        (32, [4, 4, 4], [2, 2, 2, 2]),
        (64, [16, 8, 4, 2], [1, 2, 4, 8, 16]),
        (128, [16, 8, 4, 2, 1], [1, 2, 4, 8, 16, 16]),
        (256, [16, 8, 8, 4, 2, 1], [1, 2, 4, 8, 8, 16, 16]),
        (512, [16, 8, 8, 4, 2, 1, 1], [1, 1, 2, 4, 8, 8, 16, 16]),
    ],
)
def test_widths_are_those_of_biggan(size, generator, discriminator):
    assert up_widths(BigGANGenerator(16, 3, size, 1)) == generator
    assert down_widths(BigGANDiscriminator(3, size, 1)) == discriminator


def up_widths(network):
    return [block.conv2.out_channels for block in network.blocks]


def down_widths(network):
    return [block.layers[-1].out_channels for block in network.blocks if isinstance(block, DownBlock)]


@pytest.mark.parametrize(
    ("size", "most", "places"),
    [(32, 0, ([], [])), (32, 32, ([1], [0])), (128, 32, ([2], [1])), (128, 64, ([3], [0])), (28, 64, ([0], [0]))],
)
def test_attention_stands_at_the_largest_features_of_the_asked_side(size, most, places):
    pair = ResNetGenerator(8, 3, size, 1, attention=most), ResNetDiscriminator(3, size, 1, attention=most)
    for network, place in zip(pair, places, strict=True):
        found = [getattr(block, "attend", None) for block in network.blocks]
        assert [number for number, part in enumerate(found) if isinstance(part, SelfAttention2d)] == place


@pytest.mark.parametrize("network", [ResNetGenerator, BigGANGenerator])
def test_a_generator_with_classes_draws_another_image_for_another_class(network):
    torch.manual_seed(0)
    generator = network(8, 1, 16, 2, classes=3)
    for table in (part for part in generator.modules() if isinstance(part, nn.Embedding)):
        nn.init.normal_(table.weight)
    generator, latents = generator.eval(), torch.randn(1, 8).expand(2, -1)
    same, other = generator(latents, torch.tensor([1, 1])), generator(latents, torch.tensor([1, 2]))
    torch.testing.assert_close(same[0], same[1])
    assert (other[0] - other[1]).abs().max() > 1e-3


def test_spectral_norm_is_on_every_weight_of_a_discriminator_and_on_no_table_of_a_generator():
    generator = ResNetGenerator(8, 3, 16, 2, classes=3, spectral=True, attention=8)
    discriminator = ResNetDiscriminator(3, 16, 2, classes=3, attention=8)
    for network, tables in ((generator, False), (discriminator, True)):
        for part in network.modules():
            if isinstance(part, nn.Linear | nn.Conv2d) or (tables and isinstance(part, nn.Embedding)):
                assert torch.linalg.matrix_norm(part.weight.flatten(1), 2).item() == pytest.approx(1, abs=0.1)
            elif isinstance(part, nn.Embedding):
                assert not part.weight.any()


def test_first_weights_of_biggan_are_orthogonal():
    generator, discriminator = BigGANGenerator(8, 3, 16, 2), BigGANDiscriminator(3, 16, 2, init="orthogonal")
    for network in (generator, discriminator):
        for part in (part for part in network.modules() if isinstance(part, nn.Linear | nn.Conv2d)):
            weight = part.parametrizations.weight.original.flatten(1)
            few = weight if len(weight) <= weight.shape[1] else weight.T
            torch.testing.assert_close(few @ few.T, torch.eye(len(few)), rtol=0, atol=1e-4)


def test_latents_are_cut_into_a_part_for_the_first_layer_and_one_for_each_block():
    generator = BigGANGenerator(80, 3, 32, 2, classes=10, shared_size=128)
    assert generator.parts == [20] * 4
    assert {block.norm1.gain.in_features for block in generator.blocks} == {20 + 128}
    assert BigGANGenerator(10, 3, 32, 2).parts == [3, 3, 2, 2]
    with pytest.raises(ValueError, match=r"latent_size=3: BigGAN cuts .* 4 parts .*: use model.latent.size=80"):
        BigGANGenerator(3, 3, 32, 2)


@pytest.mark.parametrize("network", [lambda size: ResNetGenerator(8, 1, size), lambda size: BigGANGenerator(8, 1, size),
                                     lambda size: ResNetDiscriminator(1, size)])  # fmt: skip
def test_a_size_without_a_start_grid_is_refused_with_the_nearest(network):
    with pytest.raises(ValueError, match=r"^image_size=30: (ResNet|BigGAN)\w+ doubles .*; nearest: 28 or 32 "):
        network(30)


def test_pooling_sums_or_takes_the_mean_of_all_places():
    torch.manual_seed(0)
    images = torch.randn(2, 1, 16, 16)
    network = ResNetDiscriminator(1, 16, 2, norm="none")
    total = network.features(images)
    network.mean = True
    torch.testing.assert_close(network.features(images) * 16, total)
