"""What holds for all pairs: shapes, ranges, double backward, meta tensors, memory formats, seeds."""

import copy
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrize import is_parametrized, remove_parametrizations

from ganrun.networks.biggan import BigGANDiscriminator, BigGANGenerator
from ganrun.networks.course import CourseDiscriminator, CourseGenerator
from ganrun.networks.dcgan import DCGANDiscriminator, DCGANGenerator
from ganrun.networks.deconv import DeconvGenerator
from ganrun.networks.fewshot import FewShotGenerator
from ganrun.networks.mlp import DeepMLPDiscriminator, MLPDiscriminator, MLPGenerator
from ganrun.networks.norms import NORMS
from ganrun.networks.pacgan import MaxoutDiscriminator
from ganrun.networks.resnet_gan import ResNetDiscriminator, ResNetGenerator
from ganrun.networks.small_conv import SmallConvDiscriminator, SmallConvGenerator

ANY = [1, 5, 28, [3, 7]]
GENERATORS = {
    "mlp": (partial(MLPGenerator, widths=[8]), ANY),
    "dcgan": (partial(DCGANGenerator, base_channels=2), [8, 20, 24, 28, 32, 56, 64, [28, 32], [48, 32]]),
    "course": (partial(CourseGenerator, base_channels=2), [4, 28, 32, [28, 36]]),
    "deconv": (partial(DeconvGenerator, base_channels=2), [8, 32, [24, 40]]),
    "small_conv": (partial(SmallConvGenerator, base_channels=2), [16, 64, [32, 48]]),
    "resnet_gan": (partial(ResNetGenerator, base_channels=2), [8, 16, 28, 64, [48, 32]]),
    "sagan": (partial(ResNetGenerator, base_channels=2, spectral=True, attention=32), [16, 64]),
    "biggan": (partial(BigGANGenerator, base_channels=2), [16, 28, 64]),
    "fewshot": (partial(FewShotGenerator, base_channels=1), [16, 28, [32, 48]]),
}
DISCRIMINATORS = {
    "mlp": (partial(MLPDiscriminator, widths=[8]), ANY),
    "maxout": (partial(MaxoutDiscriminator, widths=[8], pieces=2), ANY),
    "deep_mlp": (partial(DeepMLPDiscriminator, widths=[32, 16, 8, 4, 2]), ANY),
    "dcgan": (partial(DCGANDiscriminator, base_channels=2), GENERATORS["dcgan"][1]),
    "course": (partial(CourseDiscriminator, base_channels=2), GENERATORS["course"][1]),
    "small_conv": (partial(SmallConvDiscriminator, base_channels=2), GENERATORS["small_conv"][1]),
    "resnet_gan": (partial(ResNetDiscriminator, base_channels=2), GENERATORS["resnet_gan"][1]),
    "biggan": (partial(BigGANDiscriminator, base_channels=2, attention=64, wide=True), GENERATORS["biggan"][1]),
}
SIZED_GENERATORS = [
    pytest.param(net, size, id=f"{n}-{size}") for n, (net, sizes) in GENERATORS.items() for size in sizes
]
SIZED_DISCRIMINATORS = [
    pytest.param(net, size, id=f"{n}-{size}") for n, (net, sizes) in DISCRIMINATORS.items() for size in sizes
]
PLAIN_NAMES = ("mlp", "deep_mlp", "maxout")  # that have no norm
NORMED = [
    pytest.param(partial(net, norm=norm), id=f"{name}-{norm}")
    for name, (net, _) in DISCRIMINATORS.items()
    if name not in PLAIN_NAMES
    for norm in NORMS
]
PLAIN = [pytest.param(DISCRIMINATORS[name][0], id=name) for name in PLAIN_NAMES]
GENERATOR = [pytest.param(net, id=name) for name, (net, _) in GENERATORS.items()]


def pixels(size):
    return (size, size) if isinstance(size, int) else tuple(size)


@pytest.mark.parametrize(("network", "size"), SIZED_GENERATORS)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_generator_makes_images_of_its_size_between_minus_one_and_one(network, size, channels):
    images = network(5, channels, size)(10 * torch.randn(2, 5))
    assert images.shape == (2, channels, *pixels(size))
    assert images.abs().max() <= 1


@pytest.mark.parametrize("network", GENERATOR)
def test_a_generator_reaches_both_ends_of_the_range(network):
    torch.manual_seed(0)
    generator = network(5, 1, 32)
    last = [m for m in generator.modules() if isinstance(m, nn.Linear | nn.Conv2d | nn.ConvTranspose2d)][-1]
    if is_parametrized(last):
        remove_parametrizations(last, "weight")  # a bounded weight does not grow
    last.weight.data *= 1e4
    images = generator(torch.randn(4, 5))
    assert images.min() < -0.99
    assert images.max() > 0.99


@pytest.mark.parametrize(("network", "size"), SIZED_DISCRIMINATORS)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_discriminator_gives_one_logit_an_image(network, size, channels):
    images = torch.randn(2, channels, *pixels(size))
    assert network(channels, size)(images).shape == (2,)
    assert network(channels, size).eval()(images[:1]).shape == (1,)


@pytest.mark.parametrize("network", [*NORMED, *PLAIN])
def test_a_logit_has_no_bounds(network):
    discriminator, images = network(1, 32).eval(), torch.randn(4, 1, 32, 32)
    before = discriminator(images)
    last = [m for m in discriminator.modules() if isinstance(m, nn.Linear | nn.Conv2d)][-1]
    last.bias.data -= 50
    torch.testing.assert_close(discriminator(images), before - 50)


@pytest.mark.parametrize("network", [*NORMED, *PLAIN])
def test_a_gradient_penalty_reaches_the_weights(network):
    discriminator = network(1, 32)
    images = torch.randn(3, 1, 32, 32, requires_grad=True)
    (gradient,) = torch.autograd.grad(discriminator(images).sum(), images, create_graph=True)
    gradient.square().sum().backward()
    first = next(weight for weight in discriminator.parameters() if weight.ndim > 1)
    assert gradient.shape == images.shape
    assert torch.isfinite(first.grad).all()
    assert first.grad.any()


@pytest.mark.parametrize("name", ["dcgan", "course", "small_conv"])
def test_the_gradient_of_a_gradient_survives_the_activations_in_place(name):
    torch.manual_seed(0)
    discriminator = DISCRIMINATORS[name][0](1, 16, norm="none").double().eval()
    images = torch.randn(1, 1, 16, 16, dtype=torch.double)
    plain = copy.deepcopy(discriminator)
    for module in plain.modules():
        if isinstance(module, nn.LeakyReLU):
            module.inplace = False
    penalties = [penalty_gradients(network, images) for network in (discriminator, plain)]
    for in_place, out_of_place in zip(*penalties, strict=True):
        torch.testing.assert_close(in_place, out_of_place)


def penalty_gradients(discriminator, images):
    images = images.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(discriminator(images).sum(), images, create_graph=True)
    weights = [weight for weight in discriminator.parameters() if weight.ndim > 1]
    return torch.autograd.grad(gradient.square().sum(), weights)


@pytest.mark.parametrize(
    "network", [*[pytest.param(partial(p.values[0], 5), id=p.id) for p in GENERATOR], *NORMED, *PLAIN]
)
def test_a_plan_counts_parameters_without_memory(network):
    with torch.device("meta"):
        planned = network(1, 32)
    built = network(1, 32)
    assert {p.device.type for p in planned.parameters()} == {"meta"}
    assert [p.shape for p in planned.parameters()] == [p.shape for p in built.parameters()]


@pytest.mark.parametrize("network", GENERATOR)
def test_a_generator_is_the_same_function_in_channels_last(network):
    generator, latents = network(5, 3, 32), torch.randn(3, 5)
    last = copy.deepcopy(generator).to(memory_format=torch.channels_last)
    torch.testing.assert_close(last(latents), generator(latents))


@pytest.mark.parametrize("network", [*NORMED, *PLAIN])
def test_a_discriminator_is_the_same_function_in_channels_last(network):
    discriminator, images = network(3, 32).eval(), torch.randn(3, 3, 32, 32)
    last = copy.deepcopy(discriminator).to(memory_format=torch.channels_last)
    logits = last(images.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(logits, discriminator(images))


@pytest.mark.parametrize(
    "network", [*[pytest.param(partial(p.values[0], 5), id=p.id) for p in GENERATOR], *NORMED, *PLAIN]
)
def test_the_same_seed_gives_the_same_weights_and_a_saved_state_fits(network):
    torch.manual_seed(3)
    first = network(1, 32)
    torch.manual_seed(3)
    second = network(1, 32)
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, other)
    network(1, 32).load_state_dict(first.state_dict())
