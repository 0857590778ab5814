"""Progressive growing: what a network shows and judges at each level, worked out by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from ganrun.networks.growth import UNIT, Growth, pooled, repeated
from ganrun.networks.resampling import doubled
from ganrun.networks.stylegan2 import StyleGAN2Discriminator, StyleGAN2Generator

GRIDS = [(4, 4), (8, 8), (16, 16)]


def generator(growth: int | None = 4) -> StyleGAN2Generator:
    torch.manual_seed(0)
    return StyleGAN2Generator(5, 1, 16, 4, 8, 6, 2, growth=growth, growth_share=0.5).eval()


def discriminator(growth: int | None = 4, residual: bool = True) -> StyleGAN2Discriminator:
    torch.manual_seed(0)
    return StyleGAN2Discriminator(1, 16, 4, 8, residual, growth=growth, growth_share=0.5)


def at(network: nn.Module, progress: float) -> nn.Module:
    network.growth.at_progress(progress)
    return network


@pytest.mark.parametrize(
    ("progress", "level", "key"),
    [
        (0, 0, (0, False)),
        (0.124, 0, (0, False)),
        (0.1875, 0.5, (1, True)),  # the second of four phases that share half of the run
        (0.25, 1, (1, False)),
        (0.3749, 1, (1, False)),
        (0.40625, 1.25, (2, True)),
        (0.5, 2, (2, False)),
        (1, 2, (2, False)),
    ],
)
def test_phases_of_equal_length_wait_and_fade_in_turn(progress: float, level: float, key: tuple[int, bool]) -> None:
    growth = Growth(GRIDS, 4, 0.5)
    assert growth.whole
    growth.at_progress(progress)
    assert growth.level.item() == level * UNIT
    assert growth.graph_key == key
    assert growth.whole == (level == 2)


def test_the_pictures_begin_as_squares_and_end_as_those_of_the_network_without_growth() -> None:
    latents = torch.randn(3, 5)
    grows, never = generator(), generator(None)
    assert dict(grows.named_parameters()).keys() == dict(never.named_parameters()).keys()
    assert torch.equal(grows(latents), never(latents)), "it is whole until it is told how far the run is"
    small = at(grows, 0)(latents)
    assert torch.equal(small, repeated(small[:, :, ::4, ::4], 4))
    assert len(small.unique()) > 40
    assert torch.equal(at(grows, 0.25)(latents), repeated(grows(latents)[:, :, ::2, ::2], 2))
    assert torch.equal(at(grows, 1)(latents), never(latents))


def test_a_fade_mixes_the_pictures_of_two_levels_linearly() -> None:
    network, latents = generator().train(), torch.randn(3, 5)
    for layer in network.modules():
        if hasattr(layer, "strength"):
            assert layer.strength.item() == 0  # no noise yet
    older, newer = at(network, 0.25)(latents), at(network, 0.5)(latents)
    torch.testing.assert_close(at(network, 0.40625)(latents), 0.75 * older + 0.25 * newer)
    coarse = older[:, :, ::2, ::2]  # the newer picture is the older one, smoothly doubled, and what the last layer adds
    assert not torch.equal(newer, doubled(coarse))


@pytest.mark.parametrize("residual", [True, False])
def test_a_discriminator_fades_from_the_features_of_the_halved_picture(residual: bool) -> None:
    network, images = discriminator(residual=residual), torch.randn(4, 1, 16, 16)
    from_rgb = [network.from_rgb["0"], network.from_rgb["1"], network.layers[:2]]
    blocks, rest = [network.layers[3], network.layers[2]], network.layers[4:]
    by_hand = [rest(from_rgb[0](pooled(images, 4))), rest(blocks[0](from_rgb[1](pooled(images, 2))))]
    torch.testing.assert_close(at(network, 0)(images), by_hand[0][:, 0])
    torch.testing.assert_close(at(network, 0.25)(images), by_hand[1][:, 0])
    mixed = 0.75 * from_rgb[1](pooled(images, 2)) + 0.25 * blocks[1](from_rgb[2](images))
    torch.testing.assert_close(at(network, 0.40625)(images), rest(blocks[0](mixed))[:, 0])
    below = at(network, 0.25)(images)
    network.growth.stage, network.growth.fading = 2, True  # α = 0
    torch.testing.assert_close(network(images), below)
    assert torch.equal(at(network, 0.5)(images), discriminator(None, residual)(images))


def test_reals_are_faded_as_the_fakes_are() -> None:
    growth, images = Growth(GRIDS, 4, 0.5), torch.randn(2, 1, 16, 16)
    assert growth.faded(images) is images
    growth.at_progress(0)
    torch.testing.assert_close(growth.faded(images), repeated(pooled(images, 4), 4))
    growth.at_progress(0.1875)
    of_both = 0.5 * repeated(pooled(images, 4), 4) + 0.5 * repeated(pooled(images, 2), 2)
    torch.testing.assert_close(growth.faded(images), of_both)
    torch.testing.assert_close(growth.seen(repeated(growth.seen(images), 2)), growth.seen(images))


@pytest.mark.parametrize(("progress", "active"), [(0, 2), (0.1875, 4), (0.25, 4), (0.5, 6)])
def test_mixed_styles_change_among_the_layers_of_the_present_grids(progress: float, active: int) -> None:
    network, latents = at(generator(), progress), torch.randn(200, 5)
    styles = network.styles(latents, others=-latents)
    first = (styles[:, 1:] != styles[:, :-1]).any(2).int().argmax(1) + 1  # the first layer with the other style
    assert set(first.tolist()) == set(range(1, active))
    assert torch.equal(styles[:, active:], styles[:, active - 1 : active].expand(-1, 6 - active, -1))


def test_layers_beyond_the_level_are_not_computed_and_get_no_gradient() -> None:
    network = at(generator().train(), 0.1875)
    network(torch.randn(2, 5)).square().mean().backward()
    assert {weight.grad is None for weight in network.blocks[1].parameters()} == {True}
    assert {weight.grad is None for weight in network.blocks[0].parameters()} == {False}


def test_the_level_is_kept_with_the_weights_and_one_that_is_none_is_refused() -> None:
    latents = torch.randn(2, 5)
    state = at(generator(), 0.1875).state_dict()
    other = generator()
    other.load_state_dict(state)
    assert other.growth.graph_key == (1, True)
    assert torch.equal(other(latents), at(generator(), 0.1875)(latents))
    for wrong in (-1, 2 * UNIT + 1):
        with pytest.raises(RuntimeError, match=rf"growth\.level={wrong} is none"):
            generator().load_state_dict({**state, "growth.level": torch.tensor(wrong)})
    assert not [name for name in discriminator(None).state_dict() if "growth" in name or "from_rgb" in name]


@pytest.mark.parametrize("start", [2, 5, 16, 32])
def test_a_start_that_is_no_smaller_grid_is_refused_with_those_that_are(start: int) -> None:
    for make in (generator, discriminator):
        with pytest.raises(ValueError, match=rf"growth={start}: pictures of 16 pixels can start at 4 or 8 pixels"):
            make(start)
    with pytest.raises(ValueError, match=r"growth_share=1 must lie between"):
        Growth(GRIDS, 4, 1)


def test_the_gradient_of_a_square_reaches_each_of_its_pixels() -> None:
    """So that a gradient penalty, and the path length, see pictures of any level: both differentiate twice."""
    network = at(discriminator(), 0.1875)
    images = torch.randn(2, 1, 16, 16, requires_grad=True)
    (gradient,) = torch.autograd.grad(network(images).sum(), images, create_graph=True)
    assert torch.equal(gradient, repeated(gradient[:, :, ::2, ::2], 2))
    gradient.square().sum().backward()
    assert all(map(reached, network.from_rgb.values()))
    cells = pooled(images.detach(), 2).requires_grad_()
    (of_cells,) = torch.autograd.grad(network(repeated(cells, 2)).sum(), cells)
    torch.testing.assert_close(gradient.square().sum() * 4, of_cells.square().sum())


@pytest.mark.slow
@pytest.mark.parametrize("make", [generator, discriminator])
def test_a_compiled_network_follows_the_levels(make: Callable[[], nn.Module]) -> None:
    network = make()
    compiled = torch.compile(network, backend="aot_eager", dynamic=False)
    inputs = torch.randn(4, 5) if make is generator else torch.randn(4, 1, 16, 16)
    outputs = []
    for progress in (0.1875, 0.15625, 0.25):  # two weights α of one fade, and the next level
        at(network, progress)
        outputs.append(compiled(inputs))
        torch.testing.assert_close(outputs[-1], network(inputs))
    assert not torch.equal(outputs[0], outputs[1])
    assert not torch.equal(outputs[0], outputs[2])


def reached(part: nn.Module) -> bool:
    gradients: list[Tensor | None] = [weight.grad for weight in part.parameters()]
    return gradients[0] is not None and bool(gradients[0].any())
