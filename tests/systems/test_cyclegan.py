"""CycleGAN: there and back, with a memory of old fakes."""

from __future__ import annotations

import pytest
import torch

from ganrun.losses.adversarial import LeastSquares, Wasserstein
from ganrun.losses.penalties import LeCam
from ganrun.networks.patch import PatchDiscriminator
from ganrun.networks.resnet import ResNetTranslator
from ganrun.systems.cyclegan import CycleGAN
from tests.systems.pictures import Times, Weigh, flat

BATCH = {"a": flat(0.5, -0.1), "b": flat(0.2, 0.4)}


def make(there: float = 1.0, back: float = 1.0, loss=None, **settings) -> CycleGAN:
    return CycleGAN(
        Times(there), Times(back), Weigh(1.0), Weigh(2.0), loss or LeastSquares(), channels=1, image_size=4, **settings
    )


def objectives(system: CycleGAN, step: int = 0):
    return {turn.player: turn.objective(BATCH) for turn in system.turns(step)}


def test_translators_that_change_nothing_pay_nothing_for_cycle_and_identity() -> None:
    terms = objectives(make())["generators"].terms
    assert terms["cycle"].item() == terms["identity"].item() == 0


def test_the_way_there_and_back_is_paid_ten_times_and_the_identity_five() -> None:
    """G doubles, F leaves alone: |2x − x| is 0.3 on average in a and in b; only G changes its own domain."""
    generators = objectives(make(there=2.0))["generators"]
    assert generators.terms["cycle"].item() == pytest.approx(10 * (0.3 + 0.3))
    assert generators.terms["identity"].item() == pytest.approx(5 * 0.3)
    assert generators.monitors["cycle_l1"].item() == pytest.approx(0.3)


def test_each_domain_has_its_judge() -> None:
    """G(a) = 2a goes to D_b = 2·, F(b) = b to D_a = 1·."""
    found = objectives(make(there=2.0))
    assert found["discriminators"].monitors["fake_logit_b"].item() == pytest.approx(2 * 2 * 0.2)
    assert found["discriminators"].monitors["fake_logit_a"].item() == pytest.approx(0.3)
    assert found["discriminators"].monitors["real_logit_b"].item() == pytest.approx(2 * 0.3)
    by_hand = ((2.0 - 1) ** 2 + (-0.4 - 1) ** 2) / 2 / 2
    assert found["generators"].terms["adversarial_b"].item() == pytest.approx(by_hand)


def test_without_a_weight_the_identity_costs_no_forward_pass() -> None:
    system = make(identity_weight=0.0)
    passes = []
    system.generators["ab"].register_forward_hook(lambda *_: passes.append(1))
    assert "identity" not in objectives(system)["generators"].terms
    assert len(passes) == 2, "a fake for both players, and a cycle"


def test_the_discriminators_meet_fakes_of_the_past() -> None:
    system = make(pool_size=2)
    objectives(system)
    with torch.no_grad():
        system.generators["ab"].weight.fill_(3.0)
    torch.manual_seed(0)
    seen = {round(objectives(system)["discriminators"].monitors["fake_logit_b"].item(), 3) for _ in range(20)}
    assert len(seen) > 1
    assert {"pool_a.stored", "pool_b.stored", "pool_a.seen", "pool_b.seen"} <= system.state_dict().keys()


def test_two_losses_do_not_share_their_running_means() -> None:
    system = make(loss=LeastSquares(penalties={"lecam": LeCam()}))
    objectives(system)
    means = [loss.penalties["lecam"].average_real.item() for loss in system.loss.values()]
    assert means == pytest.approx([0.01 * 0.2, 0.01 * 0.6])


def test_clipping_reaches_both_discriminators() -> None:
    system = make(loss=Wasserstein(clip=0.01, discriminator_steps=5))
    assert [turn.player for turn in system.turns(0)] == ["discriminators"]
    system.after_turn("discriminators")
    assert [weight.item() for weight in system.discriminators.parameters()] == pytest.approx([0.01, 0.01])
    assert system.generators["ab"].weight.item() == 1


def test_a_grid_shows_each_domain_its_translation_the_way_back_and_the_identity() -> None:
    system = make(there=2.0, back=3.0)
    panels = list(system.panels(system.examples(BATCH, 1)).values())
    assert [panel.shape for panel in panels] == [(1, 1, 4, 4)] * 8
    assert [panel.mean().item() for panel in panels] == pytest.approx([0.5, 1.0, 3.0, 1.5, 0.2, 0.6, 1.2, 0.4])


def test_both_directions_are_translated_and_no_third() -> None:
    system = make(there=2.0, back=3.0)
    assert system.translate(flat(0.1)).mean().item() == pytest.approx(0.2)
    assert system.translate(flat(0.1), "ab").mean().item() == pytest.approx(0.2)
    assert system.translate(flat(0.1), "ba").mean().item() == pytest.approx(0.3)
    with pytest.raises(ValueError, match="direction=up: this model knows ab and ba"):
        system.translate(flat(0.1), "up")


def test_data_of_another_kind_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="needs a and b, but the data give image: use dataset=unpaired"):
        make().examples({"image": flat(1.0)}, 1)


def test_pictures_that_are_not_square_are_trained_on() -> None:
    size = [17, 30]
    translators = [ResNetTranslator(3, size, 4, blocks=1) for _ in range(2)]
    judges = [PatchDiscriminator(3, size, 4, norm="instance") for _ in range(2)]
    system = CycleGAN(*translators, *judges, LeastSquares(), channels=3, image_size=size)
    batch = {name: torch.rand(2, 3, *size) for name in "ab"}
    assert all(turn.objective(batch).total.isfinite() for turn in system.turns(0))
    assert system.translate(torch.rand(1, 3, 50, 9)).shape == (1, 3, 50, 9)
