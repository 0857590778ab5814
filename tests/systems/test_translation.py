"""Games from source to target: who pays what, what the discriminator sees, what a grid shows."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from ganrun.losses.adversarial import LeastSquares, Wasserstein
from ganrun.losses.penalties import R1, GradientPenalty
from ganrun.losses.relativistic import RelativisticLogistic
from ganrun.networks.patch import PatchDiscriminator
from ganrun.networks.unet import UNetGenerator
from ganrun.systems.pix2pix import Pix2Pix
from ganrun.systems.restoration import Restoration
from ganrun.systems.translation import psnr
from tests.systems.pictures import Enlarge, Times, Weigh, flat

BATCH = {"source": flat(0.5, -0.5), "target": flat(1.0, -0.9)}


def objectives(system, batch=BATCH, step=0):
    return {turn.player: turn.objective(batch) for turn in system.turns(step)}


def test_the_generator_pays_a_hundred_times_the_distance_beside_the_adversarial_loss() -> None:
    terms = objectives(Pix2Pix(Times(1.0), Weigh(0.0, 1.0), LeastSquares()))["generator"].terms
    assert terms.keys() == {"adversarial", "l1"}
    assert terms["l1"].item() == pytest.approx(100 * (0.5 + 0.4) / 2)
    assert terms["adversarial"].item() == pytest.approx((0.5**2 + 1.5**2) / 2 / 2)  # D(0.5) and D(-0.5) are to be 1


def test_the_adversarial_weight_is_the_adversarial_losss_alone() -> None:
    system = Restoration(Times(), Weigh(1.0), LeastSquares(), l1_weight=2, adversarial_weight=0.5)
    terms = objectives(system)["generator"].terms
    assert terms["adversarial"].item() == pytest.approx(0.5 * 0.625)
    assert terms["l1"].item() == pytest.approx(0.9)


def test_pix2pixs_discriminator_judges_a_picture_beside_its_source() -> None:
    """Weight 10 for the source's channel, 1 for the judged one: logits 10·0.5 + 1 for the first real."""
    monitors = objectives(Pix2Pix(Times(), Weigh(10.0, 1.0), LeastSquares()))["discriminator"].monitors
    assert monitors["real_logit"].item() == pytest.approx((10 * 0.5 + 1.0 - 10 * 0.5 - 0.9) / 2)
    assert monitors["fake_logit"].item() == pytest.approx(0.0)


def test_a_small_source_is_laid_beside_enlarged() -> None:
    batch = {"source": flat(0.5, size=(2, 3)), "target": flat(1.0, size=(4, 6))}
    system = Pix2Pix(Enlarge(), Weigh(10.0, 1.0), LeastSquares())
    assert objectives(system, batch)["discriminator"].monitors["real_logit"].item() == pytest.approx(6.0)


def test_penalties_concern_the_judged_picture_and_not_its_source() -> None:
    """D(x) is the mean of w·x: |∇D| = w/4 for 16 pixels, whatever the source's weight is."""
    gradient = Wasserstein(penalties={"gradient": GradientPenalty(weight=1)})
    terms = objectives(Pix2Pix(Times(), Weigh(100.0, 2.0), gradient))["discriminator"].terms
    assert terms["gradient"].item() == pytest.approx((2 / 4 - 1) ** 2)
    r1 = LeastSquares(penalties={"r1": R1(gamma=8)})
    terms = objectives(Pix2Pix(Times(), Weigh(100.0, 2.0), r1))["discriminator"].terms
    assert terms["r1"].item() == pytest.approx(8 / 2 * (2 / 4) ** 2)


def test_a_relativistic_generator_meets_the_targets() -> None:
    terms = objectives(Pix2Pix(Times(), Weigh(0.0, 1.0), RelativisticLogistic()))["generator"].terms
    by_hand = [math.log1p(math.exp(-(fake - real))) for fake, real in [(0.5, 1.0), (-0.5, -0.9)]]
    assert terms["adversarial"].item() == pytest.approx(sum(by_hand) / 2)


def test_the_generator_moves_after_so_many_discriminator_steps_and_makes_its_fakes_once() -> None:
    system = Pix2Pix(Times(), Weigh(0.0, 1.0), Wasserstein(discriminator_steps=3))
    graphs = []
    system.generator.register_forward_hook(lambda module, args, output: graphs.append(output.requires_grad))
    players = [list(objectives(system, step=step)) for step in range(3)]
    assert players == [["discriminator"], ["discriminator"], ["discriminator", "generator"]]
    assert graphs == [False, False, True]


def test_batchnorm_under_a_per_image_penalty_is_refused() -> None:
    with pytest.raises(ValueError, match="BatchNorm"):
        Pix2Pix(Times(), nn.BatchNorm2d(2), LeastSquares(penalties={"r1": R1(gamma=1)}))


def test_psnr_is_measured_on_the_scale_of_pictures_and_clips_what_lies_outside() -> None:
    assert psnr(flat(0.2), flat(0.0)).item() == pytest.approx(20.0)  # 10 log10(4 / 0.04)
    assert psnr(flat(0.2, 0.02), flat(0.0, 0.0)).item() == pytest.approx(30.0)  # the mean of 20 and 40
    assert psnr(flat(3.0), flat(1.0)).item() == pytest.approx(psnr(flat(1.0), flat(1.0)).item())


def test_restoration_logs_what_it_adds_to_the_damaged_pictures_psnr() -> None:
    batch = {"source": flat(0.2), "target": flat(0.0)}
    monitors = objectives(Restoration(Times(0.1), Weigh(1.0), LeastSquares()), batch)["generator"].monitors
    assert monitors["psnr"].item() == pytest.approx(40.0)
    assert monitors["psnr_gain"].item() == pytest.approx(20.0)
    assert not monitors["psnr"].requires_grad


def test_a_grid_shows_the_source_enlarged_the_output_and_the_target() -> None:
    batch = {"source": flat(0.5, -0.5, 0.1, size=(2, 3)), "target": flat(1.0, -1.0, 0.2, size=(4, 6))}
    system = Restoration(Enlarge(2.0), Weigh(1.0), LeastSquares())
    examples = system.examples(batch, 2)
    source, output, target = system.panels(examples).values()
    assert source.shape == output.shape == target.shape == (2, 1, 4, 6)
    assert [panel[0].mean().item() for panel in (source, output, target)] == [0.5, 1.0, 1.0]
    assert torch.equal(output, system.render(examples))
    assert len(system.examples(batch, 64)["source"]) == 3


def test_the_judge_gives_one_number_for_each_picture() -> None:
    system = Pix2Pix(Times(), Weigh(10.0, 1.0), LeastSquares())
    examples = system.examples(BATCH, 2)
    assert system.verdicts(system.render(examples), examples).tolist() == pytest.approx([5.5, -5.5])


def test_there_are_no_samples_from_nothing() -> None:
    with pytest.raises(ValueError, match="this model translates pictures"):
        Pix2Pix(Times(), Weigh(1.0), LeastSquares()).draw(4)


def test_data_of_another_kind_are_refused_by_name() -> None:
    system = Pix2Pix(Times(), Weigh(1.0), LeastSquares())
    with pytest.raises(ValueError, match="needs source and target, but the data give image, label: use dataset="):
        objectives(system, {"image": flat(1.0), "label": torch.zeros(1)})
    with pytest.raises(ValueError, match="needs target"):
        system.examples({"source": flat(1.0)}, 1)


@pytest.mark.parametrize("size", [(16, 16), (24, 16), (17, 31)])
def test_any_size_is_translated_the_one_way_there_is(size: tuple[int, int]) -> None:
    system = Pix2Pix(UNetGenerator(1, 16, 4), PatchDiscriminator(1, 16, 4, condition_channels=1), LeastSquares())
    images = torch.rand(2, 1, *size)
    assert system.eval().translate(images).shape == images.shape
    with pytest.raises(ValueError, match="direction=ba"):
        system.translate(images, "ba")


def test_pairs_that_are_not_square_are_trained_on() -> None:
    system = Pix2Pix(
        UNetGenerator(3, [17, 30], 4), PatchDiscriminator(3, [17, 30], 4, condition_channels=3), LeastSquares()
    )
    batch = {name: torch.rand(2, 3, 17, 30) for name in ("source", "target")}
    assert all(objective.total.isfinite() for objective in objectives(system, batch).values())
