"""SRGAN: content first, then the game."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from ganrun.losses.adversarial import LeastSquares, Wasserstein
from ganrun.systems.srgan import SRGAN
from tests.systems.pictures import Enlarge, Weigh, flat

BATCH = {"source": flat(0.5, size=(2, 3)), "target": flat(1.0, size=(4, 6))}


def make(loss=None, **settings) -> SRGAN:
    return SRGAN(Enlarge(), Weigh(1.0), loss or LeastSquares(), content=nn.MSELoss(), **settings)


def objectives(system: SRGAN, step: int):
    return {turn.player: turn.objective(BATCH) for turn in system.turns(step)}


def test_the_discriminator_has_no_turn_in_pretraining() -> None:
    system = make(Wasserstein(discriminator_steps=2), pretrain_steps=3)
    players = [[turn.player for turn in system.turns(step)] for step in range(6)]
    assert players == [["generator"]] * 3 + [["discriminator", "generator"], ["discriminator"]] + [
        ["discriminator", "generator"]
    ]


def test_pretraining_is_content_alone_and_then_a_thousandth_of_the_adversarial_loss_joins() -> None:
    system = make(pretrain_steps=1)
    first, second = objectives(system, 0)["generator"], objectives(system, 1)["generator"]
    assert {name: term.item() for name, term in first.terms.items()} == {"content": pytest.approx(0.25)}
    assert {name: term.item() for name, term in second.terms.items()} == {
        "adversarial": pytest.approx(1e-3 * 0.125),  # ½ (0.5 − 1)²
        "content": pytest.approx(0.25),
    }


def test_the_gain_is_over_the_bicubic_of_papers() -> None:
    """Its a is -0.5, as Pillow's; torch's own is -0.75."""
    torch.manual_seed(0)
    source = torch.rand(1, 1, 8, 9) * 2 - 1
    picture = Image.fromarray(source[0, 0].numpy()).resize((18, 16), Image.Resampling.BICUBIC)
    target = torch.from_numpy(np.array(picture))[None, None].clamp(-1, 1)
    batch = {"source": source, "target": target + 0.1}
    found = make().quality(target, batch)
    assert found["psnr"].item() == pytest.approx(26.0206, abs=1e-3)  # 10 log10(4 / 0.1²) dB
    assert found["psnr_gain"].item() == pytest.approx(0.0, abs=1e-3)


class Brightness(nn.Module):
    """A distance with a weight that has been learnt elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(3.0))

    def forward(self, images, targets):
        return self.weight * (images.mean() - targets.mean()).abs()


def test_a_perceptual_distance_joins_in_the_second_phase_and_is_frozen() -> None:
    system = make(pretrain_steps=1, perceptual=Brightness(), perceptual_weight=0.1)
    assert "perceptual" not in objectives(system, 0)["generator"].terms
    assert objectives(system, 1)["generator"].terms["perceptual"].item() == pytest.approx(0.1 * 3 * 0.5)
    assert not any(weight.requires_grad for weight in system.perceptual.parameters())
    assert set(system.players()) == {"discriminator", "generator"}


def test_a_picture_of_any_size_is_enlarged() -> None:
    assert make().translate(torch.zeros(1, 1, 5, 9)).shape == (1, 1, 10, 18)
