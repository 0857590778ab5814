"""R3GAN's blocks and shapes by hand."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from ganrun.networks.r3gan import Block, R3GANDiscriminator, R3GANGenerator, Resample, widths_of


def generator(**options) -> R3GANGenerator:
    sizes = {"latent_size": 8, "channels": 3, "image_size": 16, "base_channels": 16, "blocks": 1}
    return R3GANGenerator(**{**sizes, **options})


def test_a_block_starts_as_the_identity_and_then_learns() -> None:
    block, features = Block(16, 2, 1.0), torch.randn(2, 16, 4, 4)
    assert torch.equal(block(features), features)
    torch.nn.init.ones_(block.reduce.weight)
    inner = F.leaky_relu(block.expand(features) + 0, 0.2)
    by_hand = features + F.leaky_relu(block.spread(inner), 0.2).sum(1, keepdim=True)
    torch.testing.assert_close(block(features), by_hand)


def test_the_first_weights_shrink_with_the_fourth_root_of_the_number_of_blocks() -> None:
    """He's standard deviation is sqrt(2 / (1.04 · fan in)); 4 stages of 4 blocks are 16: half of it."""
    torch.manual_seed(0)
    blocks = [part for part in generator(image_size=32, base_channels=64, blocks=4).modules() if type(part) is Block]
    assert len(blocks) == 16
    for name, fan_in in (("expand", 64), ("spread", 16 * 9)):  # groups of 16 channels
        weights = torch.cat([getattr(block, name).weight.flatten() for block in blocks])
        assert weights.std().item() == pytest.approx(0.5 * (2 / 1.04 / fan_in) ** 0.5, rel=0.02)
    assert not any(block.reduce.weight.any() for block in blocks)


def test_halving_undoes_nothing_of_a_flat_map_and_doubling_draws_straight_lines() -> None:
    ramp = torch.arange(4.0).view(1, 1, 1, 4).expand(1, 1, 4, 4)
    doubled = Resample(1, 1, up=True)(ramp)
    assert doubled[0, 0, 0].tolist() == [0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3]
    assert torch.equal(Resample(1, 1, up=False)(doubled)[0, 0, 0], torch.tensor([0.125, 1, 2, 2.875]))


def test_widths_are_the_papers_up_to_32_pixels_and_halve_beyond() -> None:
    assert widths_of(32, 768, 32) == [768] * 4
    assert widths_of(512, 768, 32) == [768, 768, 768, 768, 384, 192, 96, 48]
    assert widths_of([28, 56], 64, 8) == [64, 32, 16]


@pytest.mark.parametrize(("size", "channels"), [(16, 1), (32, 3), (64, 4), ([32, 48], 2), (28, 1), (512, 3)])
def test_any_size_and_any_number_of_channels(size, channels: int) -> None:
    options = {"channels": channels, "image_size": size, "base_channels": 4, "blocks": 1}
    shape = (2, channels, *(size if isinstance(size, list) else (size, size)))
    with torch.device("meta"):
        images = R3GANGenerator(8, **options)(torch.randn(2, 8))
        discriminator = R3GANDiscriminator(**options)
        assert images.shape == shape
        assert discriminator(images).shape == (2,)
        assert discriminator.features(images).shape == (2, 4)


def test_a_size_without_a_start_names_those_that_have_one() -> None:
    with pytest.raises(ValueError, match=r"image_size=30: R3GAN .*nearest: 28 or 32"):
        generator(image_size=30)


def test_pictures_are_clipped_where_they_are_drawn_and_not_where_they_are_learnt() -> None:
    torch.manual_seed(0)
    network, latents = generator(), torch.randn(16, 8)
    linear = network.train()(latents)
    assert linear.abs().max() > 1
    assert torch.equal(network.eval()(latents), linear.clamp(-1, 1))
    torch.testing.assert_close(network.train()(2 * latents), 2 * linear, msg="blocks that start as the identity")


def test_the_logit_of_a_class_is_an_inner_product_with_its_embedding() -> None:
    network = R3GANDiscriminator(1, 16, base_channels=16, blocks=1, classes=3)
    images, labels = torch.randn(4, 1, 16, 16), torch.tensor([0, 2, 1, 2])
    vectors, head = network.embedding.table.weight, network.head.weight
    by_hand = torch.einsum("nc,kc,nk->n", network.features(images), head, vectors[labels])
    torch.testing.assert_close(network(images, labels), by_hand)
    assert not torch.equal(network(images, labels), network(images, labels.flip(0)))
