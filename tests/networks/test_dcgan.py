import pytest
import torch
from torch import nn

from ganrun.cli.composition import compose_plain
from ganrun.config.builders import build_system
from ganrun.networks.dcgan import DCGANDiscriminator, DCGANGenerator, start_grid


def kinds(network, *types):
    return [module for module in network.modules() if isinstance(module, types)]


@pytest.mark.parametrize(
    ("size", "grid", "doublings"),
    [
        (8, (4, 4), 1),
        (12, (6, 6), 1),
        (16, (4, 4), 2),
        (28, (7, 7), 2),
        (32, (4, 4), 3),
        (64, (4, 4), 4),
        (96, (6, 6), 4),
        (128, (4, 4), 5),
        ([28, 32], (7, 8), 2),
        ([48, 32], (6, 4), 3),
        ([16, 64], (4, 16), 2),
    ],
)
def test_depth_follows_the_image(size, grid, doublings):
    assert start_grid(size) == (grid, doublings)


@pytest.mark.parametrize(
    ("size", "nearest"),
    [(30, "28 or 32"), (7, "8"), (1000, "896 or 1024"), ([32, 36], r"32 or \[32, 40\]"), (1, "8")],
)
@pytest.mark.parametrize("network", [lambda size: DCGANGenerator(4, 1, size), lambda size: DCGANDiscriminator(1, size)])
def test_a_size_without_a_start_grid_is_refused_with_the_nearest(network, size, nearest):
    with pytest.raises(
        ValueError, match=rf"^image_size=.*: DCGAN doubles .*; nearest: {nearest} \(dataset\.image_size=\d+\)$"
    ):
        network(size)


def test_channels_halve_towards_the_image_and_double_away_from_it():
    generator, discriminator = DCGANGenerator(100, 3, 32), DCGANDiscriminator(3, 32)
    assert [c.out_channels for c in kinds(generator, nn.ConvTranspose2d)] == [256, 128, 64, 3]
    assert [c.out_channels for c in kinds(discriminator, nn.Conv2d)] == [64, 128, 256, 1]


def test_channels_stop_doubling_at_the_cap_and_without_one_never_do():
    for most, widths in ((16, [4, 8, 16, 16, 16]), (None, [4, 8, 16, 32, 64]), (2, [2] * 5)):
        generator, discriminator = DCGANGenerator(5, 3, 128, 4, most), DCGANDiscriminator(3, 128, 4, max_channels=most)
        assert [c.out_channels for c in kinds(generator, nn.ConvTranspose2d)] == [*widths[::-1], 3]
        assert [c.out_channels for c in kinds(discriminator, nn.Conv2d)] == [*widths, 1]
    with pytest.raises(ValueError, match="max_channels=0 must be at least 1, or null"):
        DCGANGenerator(5, 3, 128, 4, 0)


def counted(model: str, size: int, *words: str) -> dict[str, int]:
    config = compose_plain("train", [f"model={model}", f"dataset.image_size={size}", "dataset.channels=3", *words])
    with torch.device("meta"):
        players = build_system(config).players()
    return {name: sum(weight.numel() for weight in network.parameters()) for name, network in players.items()}


@pytest.mark.parametrize("model", ["dcgan", "cgan", "acgan", "infogan", "vae", "vaegan", "gman"])
def test_the_models_cap_their_channels_from_128_pixels_on(model):
    assert sum(counted(model, 256).values()) < 40e6
    uncapped = [f"{key}.max_channels=null" for key in owners(model)]
    assert counted(model, 64) == counted(model, 64, *uncapped)
    assert sum(counted(model, 128).values()) < 0.7 * sum(counted(model, 128, *uncapped).values())


def owners(model: str) -> list[str]:
    """The nodes of a model that are capped."""

    def found(node, place):
        if isinstance(node, dict):
            yield from [place] if "max_channels" in node else []
            for key, value in node.items():
                yield from found(value, f"{place}.{key}")

    return list(found(compose_plain("train", [f"model={model}"])["model"], "model"))


def test_all_layers_are_convolutions():
    for network in (DCGANGenerator(5, 1, 32, 4), DCGANDiscriminator(1, 32, 4)):
        assert not kinds(network, nn.Linear, nn.MaxPool2d, nn.AvgPool2d, nn.Upsample)
        middle = kinds(network, nn.Conv2d, nn.ConvTranspose2d)
        assert [c.stride for c in middle].count((2, 2)) == 3


def test_batchnorm_is_everywhere_but_at_the_images_and_the_logit():
    generator, discriminator = DCGANGenerator(5, 1, 32, 4), DCGANDiscriminator(1, 32, 4)
    assert [type(m).__name__ for m in generator.layers] == [
        *["ConvTranspose2d", "BatchNorm2d", "ReLU"] * 3,
        *["ConvTranspose2d", "Tanh"],
    ]
    assert [type(m).__name__ for m in discriminator.layers] == [
        *["Conv2d", "LeakyReLU"],
        *["Conv2d", "BatchNorm2d", "LeakyReLU"] * 2,
        "Conv2d",
    ]


@pytest.mark.parametrize(("norm", "biases"), [("batch", [1, 0, 0, 1]), ("none", [1] * 4), ("spectral", [1] * 4)])
def test_a_convolution_has_a_bias_only_where_no_norm_follows(norm, biases):
    network = DCGANDiscriminator(1, 32, 4, norm)
    assert [int(c.bias is not None) for c in kinds(network, nn.Conv2d)] == biases


def test_first_weights_have_the_papers_spread():
    for network in (DCGANGenerator(100, 3, 32, 32), DCGANDiscriminator(3, 32, 32)):
        for convolution in kinds(network, nn.Conv2d, nn.ConvTranspose2d):
            assert convolution.weight.std().item() == pytest.approx(0.02, rel=0.1)
            assert convolution.bias is None or not convolution.bias.any()
        for norm in kinds(network, nn.BatchNorm2d):
            assert norm.weight.mean().item() == pytest.approx(1, abs=0.02)
            assert 0.01 < norm.weight.std().item() < 0.03


def test_spectral_norm_remembers_the_papers_first_weights():
    network = DCGANDiscriminator(3, 32, 16, norm="spectral")
    for convolution in kinds(network, nn.Conv2d):
        assert convolution.parametrizations.weight.original.std().item() == pytest.approx(0.02, rel=0.15)
        assert torch.linalg.matrix_norm(convolution.weight.flatten(1), 2).item() == pytest.approx(1, abs=0.1)
