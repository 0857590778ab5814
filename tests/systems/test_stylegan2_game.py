"""StyleGAN2's game: which turns have a path length, what is mixed, what truncation does."""

from __future__ import annotations

import pytest
import torch

from ganrun.common import images
from ganrun.common.errors import UserError
from ganrun.losses.adversarial import NonSaturating
from ganrun.losses.path_length import PathLength
from ganrun.losses.penalties import R1
from ganrun.networks.latents import Normal, Uniform
from ganrun.networks.mlp import MLPDiscriminator, MLPGenerator
from ganrun.networks.stylegan2 import StyleGAN2Discriminator, StyleGAN2Generator
from ganrun.systems.drawing import draw, render
from ganrun.systems.gan import GAN
from ganrun.systems.stylegan2 import StyleGAN2


def make(classes: int = 0, loss: NonSaturating | None = None, **settings) -> StyleGAN2:
    torch.manual_seed(0)
    generator = StyleGAN2Generator(4, 1, 16, 4, 8, 6, 2, classes)
    discriminator = StyleGAN2Discriminator(1, 16, 4, 8, classes=classes)
    return StyleGAN2(generator, discriminator, Normal(4), loss or NonSaturating(), classes=classes, **settings)


def batch(count: int = 4) -> dict[str, torch.Tensor]:
    return {"image": torch.rand(count, 1, 16, 16), "label": torch.arange(count) % 3}


@pytest.mark.parametrize("discriminator_steps", [1, 5])
def test_every_fourth_move_of_the_generator_has_a_path_length_and_a_key_of_its_own(discriminator_steps: int) -> None:
    loss = NonSaturating(discriminator_steps=discriminator_steps)
    system = make(loss=loss, path_length=PathLength(), generator_steps=2)
    moves = [[turn for turn in system.turns(step) if turn.player == "generator"] for step in range(40)]
    moves = [turns for turns in moves if turns]
    seen = [["path_length" in turn.objective(batch()).terms for turn in turns] for turns in moves[:8]]
    assert seen == [[True, False], *[[False, False]] * 3] * 2
    keys = [system.graph_key(step) for step in range(40)]
    assert len(set(keys)) == (2 if discriminator_steps == 1 else 3)
    assert None not in keys


def test_the_path_length_reaches_both_parts_of_the_generator_and_forbids_its_compilation() -> None:
    system = make(3, path_length=PathLength())
    (turn,) = (turn for turn in system.turns(0) if turn.player == "generator")
    turn.objective(batch()).terms["path_length"].backward()
    for part in (system.generator.mapping.layers[0], system.generator.blocks[0].second.convolution):
        assert part.weight.grad.any()
    assert list(system.differentiated_once()) == ["discriminator"]
    assert list(make(path_length=PathLength(weight=0)).differentiated_once()) == ["discriminator", "generator"]
    r1 = NonSaturating({"r1": R1(1.0)})
    assert list(make(loss=r1, path_length=PathLength()).differentiated_once()) == []


def test_fakes_are_mixed_in_training_and_pictures_are_not() -> None:
    system, seen = make(style_mixing=0.5), []
    system.generator.register_forward_pre_hook(lambda _, given, named: seen.append((given, named)), with_kwargs=True)
    torch.manual_seed(0)
    system.fakes(batch(200))
    (latents, *_), named = seen.pop()
    share = (latents != named["others"]).any(1).float().mean()
    assert share.item() == pytest.approx(0.5, abs=0.1)
    system.eval().render(system.draw(4))
    assert list(seen.pop()[1]) == ["seeds"]


@pytest.mark.parametrize("classes", [0, 3])
def test_the_same_seed_draws_the_same_numbers_in_batches_of_any_size(
    classes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "to_uint8", lambda drawn: drawn)  # rounding hides most differences, not all
    system = make(classes).eval()
    for layer in system.generator.modules():
        if hasattr(layer, "strength"):
            layer.strength.data.fill_(1)
    inputs = draw(system, 12, seed=1, truncation=0.7)
    one, few, many = (torch.cat(list(render(system, inputs, size))) for size in (1, 5, 12))
    assert torch.equal(few, many)
    assert torch.equal(one, many)


@pytest.mark.parametrize("classes", [0, 3])
def test_truncation_0_draws_the_mean_picture_of_each_class_and_1_truncates_nothing(classes: int) -> None:
    system = make(classes).eval()
    system.generator.mapping.mean_style.normal_()
    whole, same, mean = (torch.cat(list(render(system, draw(system, 6, 0, None, psi), 6))) for psi in (None, 1, 0))
    torch.testing.assert_close(whole, same, atol=1, rtol=0)
    assert len({picture.numpy().tobytes() for picture in mean}) == max(1, classes)


@pytest.mark.parametrize("psi", [-0.1, 1.5, float("nan")])
def test_a_truncation_of_styles_outside_0_to_1_is_refused(psi: float) -> None:
    with pytest.raises(UserError, match="for styles it is 0"):
        draw(make(), 2, 0, None, psi)


def plain(latent: torch.nn.Module) -> GAN:
    return GAN(MLPGenerator(4, 1, 8), MLPDiscriminator(1, 8), latent, NonSaturating())


def test_other_generators_get_truncated_normal_latents() -> None:
    inputs = draw(plain(Normal(4)), 5000, 0, None, 0.5)["latent"]
    assert inputs.abs().max() <= 0.5
    assert inputs.std().item() == pytest.approx(0.2842, abs=0.005)  # √(1 - 2 t φ(t) / (2 Φ(t) - 1)) at t = 0.5
    torch.testing.assert_close(draw(plain(Normal(4)), 9, 0, None, 20.0), draw(plain(Normal(4)), 9, 0))


@pytest.mark.parametrize(
    ("latent", "threshold", "reason"),
    [
        (Uniform(4), 0.7, "Uniform latents have no tails"),
        (Normal(4), 0, "above 0"),
        (torch.nn.Module(), 1, "Module has"),
    ],
)
def test_latents_that_cannot_be_truncated_are_refused_in_one_line(latent, threshold: float, reason: str) -> None:
    system = plain(latent)
    system.latents = lambda count, device: torch.randn(count, 4)
    with pytest.raises(UserError, match=reason):
        draw(system, 2, 0, None, threshold)


def test_a_generator_without_styles_is_refused() -> None:
    with pytest.raises(ValueError, match="MLPGenerator has no styles"):
        StyleGAN2(MLPGenerator(4, 1, 8), MLPDiscriminator(1, 8), Normal(4), NonSaturating())
