"""StyleGAN2's layers against formulas worked out by hand."""

import math

import pytest
import torch
import torch.nn.functional as F

from ganrun.networks.equalized import EqualConv2d, EqualLinear, normalized
from ganrun.networks.modulation import ModulatedConv2d
from ganrun.networks.resampling import TAPS, Filter, doubled
from ganrun.networks.style_mapping import StyleMapping, mixed
from ganrun.networks.stylegan2 import StyleGAN2Discriminator, StyleGAN2Generator, grids_and_widths


def generator(**settings):
    torch.manual_seed(0)
    sizes = {"base_channels": 4, "full_until": 8, "style_size": 6, "mapping_layers": 2}
    return StyleGAN2Generator(5, 3, 16, **{**sizes, **settings})


@pytest.mark.parametrize("rate", [1.0, 0.01])
def test_an_equalized_layer_keeps_a_variance_of_one_whatever_its_rate(rate):
    torch.manual_seed(0)
    assert EqualLinear(400, 300, rate=rate)(torch.randn(100, 400)).std().item() == pytest.approx(1, abs=0.02)
    assert EqualConv2d(50, 80, 3)(torch.randn(4, 50, 20, 20))[:, :, 1:-1, 1:-1].std().item() == pytest.approx(
        1, abs=0.03
    )


def test_normalized_latents_have_a_mean_square_of_one():
    torch.testing.assert_close(normalized(torch.tensor([[3.0, 4.0]])), torch.tensor([[3.0, 4.0]]) / math.sqrt(12.5))


@pytest.mark.parametrize("demodulates", [True, False])
def test_scaled_channels_are_a_convolution_with_weights_of_each_image_s_own(demodulates):
    layer = ModulatedConv2d(5, 7, 3, 4, demodulates=demodulates).double()
    features, style = torch.randn(2, 5, 6, 6).double(), torch.randn(2, 4).double()
    s = layer.affine(style)
    weights = layer.weight / math.sqrt(5 * 9) * s[:, None, :, None, None]  # (N, j, i, k, k), equation 1
    if demodulates:  # equation 3
        weights = weights / (weights.square().sum((2, 3, 4), keepdim=True) + 1e-8).sqrt()
    of_each = [F.conv2d(one[None], weight, padding=1) for one, weight in zip(features, weights, strict=True)]
    torch.testing.assert_close(layer(features, style), torch.cat(of_each))


def test_demodulation_keeps_unit_variance_whatever_the_style():
    torch.manual_seed(0)
    layer = ModulatedConv2d(16, 8, 3, 4)
    outputs = layer(torch.randn(2, 16, 80, 80), 30 * torch.randn(2, 4))[:, :, 1:-1, 1:-1]
    torch.testing.assert_close(outputs.var((2, 3)), torch.ones(2, 8), atol=0.1, rtol=0)


def test_a_doubling_convolution_is_one_of_the_doubled_and_filtered_features():
    layer = ModulatedConv2d(3, 4, 3, 2, demodulates=False, doubles=True).double()
    features, style = torch.randn(1, 3, 6, 6).double(), torch.randn(1, 2).double()
    sparse = torch.zeros(1, 3, 12, 12).double()
    sparse[:, :, ::2, ::2] = features * layer.affine(style)[:, :, None, None]
    taps = torch.tensor(TAPS).double()
    kernel = 4 * torch.outer(taps, taps).expand(3, 1, 4, 4)
    smooth = F.conv2d(F.pad(sparse, (2, 2, 2, 2)), kernel, groups=3)  # (1, 3, 13, 13)
    usual = F.conv2d(smooth, layer.weight.flip(2, 3) / math.sqrt(27), padding=1)
    torch.testing.assert_close(layer(features, style)[..., 3:-3, 3:-3], usual[..., 3:-4, 3:-4])


def test_the_filter_weighs_pixels_by_1_3_3_1_both_ways():
    line = torch.zeros(1, 1, 8, 8)
    line[..., 3] = 8  # a bright column
    torch.testing.assert_close(Filter(padding=1, stride=2)(line)[0, 0, 1], torch.tensor([0.0, 3.0, 1.0, 0.0]))
    torch.testing.assert_close(doubled(line)[0, 0, 4, 4:10], torch.tensor([0.0, 2.0, 6.0, 6.0, 2.0, 0.0]))


def test_truncation_moves_a_style_towards_the_mean_of_its_class():
    mapping = StyleMapping(3, 2, 1, classes=2)
    mapping.mean_style.copy_(torch.tensor([[0.0, 0.0], [1.0, 3.0]]))
    styles, labels = torch.tensor([[4.0, 8.0], [3.0, 1.0]]), torch.tensor([0, 1])
    truncated = mapping.truncated(styles, labels, torch.tensor([0.5, 0.5]))
    torch.testing.assert_close(truncated, torch.tensor([[2.0, 4.0], [2.0, 2.0]]))


def test_the_mean_style_follows_the_batch_in_training_alone():
    mapping = StyleMapping(3, 2, 1, classes=3)
    mapping.follow(torch.tensor([[2.0, 0.0], [4.0, 2.0], [8.0, 8.0]]), torch.tensor([0, 0, 2]))
    torch.testing.assert_close(mapping.mean_style, 0.005 * torch.tensor([[3.0, 1.0], [0.0, 0.0], [8.0, 8.0]]))
    before = mapping.mean_style.clone()
    mapping.eval()(torch.randn(4, 3), torch.tensor([0, 1, 2, 0]))
    assert torch.equal(mapping.mean_style, before)


def test_mixing_has_one_crossover_point_an_image_and_uses_both_styles():
    torch.manual_seed(0)
    layers = mixed(torch.zeros(200, 1), torch.ones(200, 1), 4)[..., 0]
    assert {tuple(one) for one in layers.int().tolist()} == {(0, 1, 1, 1), (0, 0, 1, 1), (0, 0, 0, 1)}


def test_a_picture_depends_on_its_latents_alone_but_in_training_on_fresh_noise_too():
    network, latents = generator(style_size=64, mapping_layers=4), torch.randn(8, 5)
    for module in network.modules():
        if hasattr(module, "strength"):
            module.strength.data.fill_(1)
    assert not torch.equal(network(latents), network(latents))
    network.eval()
    images = network(latents)
    assert torch.equal(torch.cat([network(part) for part in latents.split(3)]), images)
    assert images.abs().max() <= 1
    seeds = torch.tensor([5, 6, 7])
    seeded = network(latents[:1].expand(3, -1), seeds=seeds)
    assert torch.equal(network(latents[:1].expand(3, -1), seeds=seeds.flip(0)).flip(0), seeded)
    assert len(seeded.unique(dim=0)) == 3


def test_channels_halve_from_64_pixels_on_as_in_the_paper():
    assert grids_and_widths(512, 512, 64)[1] == [512, 512, 512, 512, 512, 256, 128, 64]
    with pytest.raises(ValueError, match=r"StyleGAN2 doubles .* nearest: 32 or 40"):
        grids_and_widths(33, 4, 8)


@pytest.mark.parametrize("size", [16, 28, [32, 16]])
@pytest.mark.parametrize("classes", [0, 3])
def test_both_networks_take_any_size_with_or_without_classes(size, classes):
    height, width = (size, size) if isinstance(size, int) else size
    labels = (torch.tensor([0, 2]),) if classes else ()
    drawn = StyleGAN2Generator(5, 1, size, 4, 8, 6, 2, classes)(torch.randn(2, 5), *labels)
    assert drawn.shape == (2, 1, height, width)
    judge = StyleGAN2Discriminator(1, size, 4, 8, classes=classes, label_layers=1)
    assert judge(drawn, *labels).shape == (2,)
    assert judge.features(drawn, *labels).shape == (2, 4)


def test_the_label_s_logit_is_a_product_of_vectors():
    judge = StyleGAN2Discriminator(1, 16, 4, 8, classes=3).eval()
    images, labels = torch.randn(2, 1, 16, 16), torch.tensor([2, 0])
    phi, v = judge.layers(images), judge.label(labels)
    torch.testing.assert_close(v.square().mean(1), torch.ones(2))
    torch.testing.assert_close(judge(images, labels), torch.stack([phi[0] @ v[0], phi[1] @ v[1]]) / 2)


def test_both_networks_are_the_same_functions_in_channels_last():
    drawer, judge, latents = generator().eval(), StyleGAN2Discriminator(3, 16, 4, 8), torch.randn(4, 5)
    images = drawer(latents)
    logits = judge(images)
    for network in (drawer, judge):
        network.to(memory_format=torch.channels_last)
    torch.testing.assert_close(drawer(latents), images)
    torch.testing.assert_close(judge(images.contiguous(memory_format=torch.channels_last)), logits)
