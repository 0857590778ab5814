"""GMAN: how several discriminators weigh in the generator's loss, and who is refused."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from ganrun.losses.adversarial import Wasserstein
from ganrun.losses.objective import Objective
from ganrun.losses.penalties import LeCam
from ganrun.networks.latents import Normal
from ganrun.networks.mlp import MLPGenerator
from ganrun.systems.gman import GMAN

BATCH = {"image": torch.zeros(3, 1, 4, 4)}


class Says(nn.Module):
    """A discriminator with one opinion of every picture: Wasserstein's generator loses minus that."""

    def __init__(self, logit: float) -> None:
        super().__init__()
        self.logit = nn.Parameter(torch.tensor(logit))

    def forward(self, images: Tensor) -> Tensor:
        return self.logit.expand(len(images))


def make(logits: list[float], loss: Wasserstein | None = None, hardness: float = 1.0) -> GMAN:
    named = {name: Says(logit) for name, logit in zip(("first", "second", "third"), logits, strict=False)}
    return GMAN(MLPGenerator(4, 1, 4, widths=(8,)), named, Normal(4), loss or Wasserstein(), hardness)


def played(system: GMAN) -> dict[str, Objective]:
    return {turn.player: turn.objective(BATCH) for turn in system.turns(0)}


def test_the_harder_discriminator_weighs_more() -> None:
    """Losses ln 1 and ln 3: softmax of λ = 1 weighs them 1/4 and 3/4, of λ = 2 1/10 and 9/10, of λ = 0 alike."""
    for hardness, second in ((1.0, 0.75), (2.0, 0.9), (0.0, 0.5)):
        objective = played(make([0.0, -math.log(3)], hardness=hardness))["generator"]
        assert objective.monitors["weight_second"].item() == pytest.approx(second)
        assert objective.terms["adversarial_first"].item() == pytest.approx(0)
        assert objective.terms["adversarial_second"].item() == pytest.approx(second * math.log(3))


def test_the_weights_are_held_still() -> None:
    """d/dL of Σ w L is w alone; through the softmax it would be w (1 + λ (L − Σ w L))."""
    system = make([0.0, -math.log(3)])
    second = system.discriminator["second"].logit  # type: ignore[index]
    (gradient,) = torch.autograd.grad(played(system)["generator"].total, second)
    assert gradient.item() == pytest.approx(-0.75)


def test_any_number_of_discriminators_play_and_the_verdict_is_their_mean() -> None:
    system = make([1.0, 2.0, 6.0])
    turns = played(system)
    assert [*turns] == ["discriminators", "generator"]
    assert [*turns["discriminators"].terms] == ["adversarial_first", "adversarial_second", "adversarial_third"]
    assert system.verdicts(BATCH["image"], {}).tolist() == [3.0, 3.0, 3.0]


def test_each_discriminator_has_a_loss_that_remembers_for_itself() -> None:
    system = make([1.0, 2.0], Wasserstein(penalties={"lecam": LeCam(decay=0.0)}))
    played(system)
    remembered = [loss.penalties["lecam"].average_real.item() for _, _, loss in system.panel()]
    assert remembered == [1.0, 2.0]


def test_every_discriminator_is_brought_back_to_where_it_may_be() -> None:
    system = make([1.0, -2.0], Wasserstein(clip=0.5))
    system.after_turn("discriminators")
    assert [discriminator.logit.item() for _, discriminator, _ in system.panel()] == [0.5, -0.5]


@pytest.mark.parametrize(
    ("logits", "hardness", "said"), [([1.0], 1.0, "two or more"), ([1.0, 2.0], -1.0, "hardness=-1")]
)
def test_a_lone_discriminator_and_a_negative_hardness_are_refused(logits, hardness, said) -> None:
    with pytest.raises(ValueError, match=said):
        make(logits, hardness=hardness)
