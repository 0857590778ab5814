"""GAN: who moves when, with which fakes, and which pairs are refused."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from ganrun.losses.adversarial import NonSaturating, Wasserstein
from ganrun.losses.penalties import GradientPenalty
from ganrun.losses.relativistic import RelativisticLogistic
from ganrun.networks.conditional import ConditionalDiscriminator, ConditionalGenerator
from ganrun.networks.latents import Normal
from ganrun.networks.mlp import MLPDiscriminator, MLPGenerator
from ganrun.systems.acgan import ACGAN
from ganrun.systems.gan import GAN


def make(loss=None, share_fakes: bool = True, discriminator: nn.Module | None = None) -> GAN:
    torch.manual_seed(0)
    generator = MLPGenerator(4, 1, 4, widths=(8,))
    return GAN(
        generator, discriminator or MLPDiscriminator(1, 4, (8,)), Normal(4), loss or NonSaturating(), share_fakes
    )


BATCH = {"image": torch.zeros(3, 1, 4, 4)}


def test_the_generator_moves_after_so_many_discriminator_steps() -> None:
    system = make(Wasserstein(discriminator_steps=3))
    players = [[turn.player for turn in system.turns(step)] for step in range(6)]
    assert players == [["discriminator"], ["discriminator"], ["discriminator", "generator"]] * 2


@pytest.mark.parametrize(("share", "passes"), [(True, 1), (False, 2)])
def test_shared_fakes_cost_one_forward_pass(share: bool, passes: int) -> None:
    system = make(share_fakes=share)
    calls = []
    system.generator.register_forward_hook(lambda *_: calls.append(1))
    for turn in system.turns(0):
        turn.objective(BATCH)
    assert len(calls) == passes


def test_sharing_changes_no_number_for_the_same_noise() -> None:
    def gradients(share: bool) -> list[Tensor]:
        system = make(share_fakes=share)
        system.latents = lambda count, device: torch.linspace(-1, 1, count * 4).view(count, 4)
        found = []
        for turn in system.turns(0):
            weights = list(system.players()[turn.player].parameters())
            objective = turn.objective(BATCH)
            found += torch.autograd.grad(objective.total, weights)
        return found

    for shared, apart in zip(gradients(True), gradients(False), strict=True):
        assert torch.equal(shared, apart)


def test_no_graph_through_the_generator_where_it_does_not_move() -> None:
    system = make(Wasserstein(discriminator_steps=2))
    made = []
    system.generator.register_forward_hook(lambda module, args, output: made.append(output.requires_grad))
    for turn in system.turns(0):
        turn.objective(BATCH)
    assert made == [False]


def test_batchnorm_under_a_per_image_penalty_is_refused_with_the_way_out() -> None:
    norm = nn.Sequential(nn.Conv2d(1, 1, 4), nn.BatchNorm2d(1), nn.Flatten(0))
    with pytest.raises(ValueError, match=r"model\.discriminator\.norm=none"):
        make(Wasserstein(penalties={"gradient": GradientPenalty()}), discriminator=norm)


def test_labels_are_refused_by_an_unconditional_game() -> None:
    with pytest.raises(ValueError, match="unconditional"):
        make().draw(3, labels=[1])


def conditional() -> GAN:
    torch.manual_seed(0)
    generator = ConditionalGenerator(MLPGenerator(4 + 2, 1, 4, widths=(8,)), classes=3, embedding_size=2)
    discriminator = ConditionalDiscriminator(MLPDiscriminator(2, 4, (8,)), classes=3, image_size=4)
    return GAN(generator, discriminator, Normal(4), NonSaturating(), classes=3)


def test_both_networks_of_a_conditional_game_hear_the_labels() -> None:
    system = conditional()
    images, labels = torch.zeros(3, 1, 4, 4), torch.tensor([0, 1, 2])
    told = system.discriminator_for({"label": labels})(images)
    assert told.shape == (3,)
    assert len(set(told.tolist())) == 3, "the same image, another class, another verdict"
    drawn = system.render({"latent": torch.zeros(3, 4), "label": labels})
    assert not torch.equal(drawn[0], drawn[1])


def test_fakes_have_the_labels_of_the_reals() -> None:
    system = conditional()
    heard = []
    system.generator.register_forward_hook(lambda module, args, output: heard.append(args[1]))
    labels = torch.tensor([2, 0, 1])
    batch = {"image": torch.zeros(3, 1, 4, 4), "label": labels}
    for turn in system.turns(0):
        turn.objective(batch)
    assert len(heard) == 1
    assert torch.equal(heard[0], labels)


def test_samples_come_class_after_class() -> None:
    system = conditional()
    assert system.draw(6)["label"].tolist() == [0, 0, 1, 1, 2, 2]
    assert system.draw(5, labels=[2, 0])["label"].tolist() == [2, 2, 2, 0, 0]
    assert len(system.examples({}, 10)["label"]) == 9, "whole rows only"
    with pytest.raises(ValueError, match=r"labels=\[3\]: this model knows the classes 0 to 2"):
        system.draw(1, labels=[3])


def test_an_auxiliary_classifier_costs_no_second_pass_and_names_the_fakes_by_their_labels() -> None:
    torch.manual_seed(0)
    generator = ConditionalGenerator(MLPGenerator(4 + 2, 1, 4, widths=(8,)), classes=3, embedding_size=2)
    discriminator = nn.Sequential(nn.Flatten(), nn.Linear(16, 4))
    system = ACGAN(generator, discriminator, Normal(4), RelativisticLogistic(), classes=3, class_weight=1)
    passes = []
    discriminator.register_forward_hook(lambda *_: passes.append(1))
    batch = {"image": torch.zeros(3, 1, 4, 4), "label": torch.tensor([0, 1, 2])}
    turns = {turn.player: turn.objective(batch) for turn in system.turns(0)}
    assert len(passes) == 4, "real and fake for each player, as the relativistic loss alone would need"
    with torch.no_grad():
        logits = discriminator(batch["image"])[:, 1:]
    by_hand = -logits.log_softmax(1)[range(3), [0, 1, 2]].mean()
    assert torch.allclose(turns["discriminator"].terms["class"], by_hand)
    assert "fake_class" not in turns["discriminator"].terms
    system.fake_class_weight = 2.0
    (turn, *_) = system.turns(0)
    assert turn.objective(batch).terms["fake_class"] > 0


def test_clipping_happens_after_the_discriminators_turn_only() -> None:
    system = make(Wasserstein(clip=0.01))
    system.after_turn("generator")
    assert any((weight.abs() > 0.01).any() for weight in system.discriminator.parameters())
    system.after_turn("discriminator")
    assert all((weight.abs() <= 0.01).all() for weight in system.discriminator.parameters())
