"""ADA: p follows the sign of D's logits of reals, and each transform does what the paper says."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from ganrun.augmentations import chance
from ganrun.augmentations.ada import ADA
from ganrun.augmentations.ada_colour import AdaColour, turned_about_grey
from ganrun.augmentations.ada_corruption import AdaCorruption
from ganrun.augmentations.ada_filter import AdaFilter
from ganrun.augmentations.ada_geometry import AdaGeometry
from ganrun.augmentations.resampling import SYM6, fold, resample
from ganrun.losses.adversarial import Hinge
from ganrun.networks.latents import Normal
from ganrun.networks.mlp import MLPGenerator
from ganrun.systems.gan import GAN
from ganrun.systems.gman import GMAN

ONE = torch.tensor(1.0)


def pictures(channels: int = 3, height: int = 16, width: int = 16) -> Tensor:
    return torch.rand(6, channels, height, width, generator=torch.Generator().manual_seed(0)) * 2 - 1


def turn(ada: ADA, share_positive: float, count: int = 20) -> None:
    logits = torch.ones(count)
    logits[int(share_positive * count) :] = -1
    ada.observe(logits)
    ada.after_turn()


def test_p_moves_towards_its_target_every_fourth_turn_by_the_share_of_images_seen() -> None:
    ada = ADA(target=0.6, kimg=0.8, every=4)
    for _ in range(3):
        turn(ada, 1.0)
    assert ada.p == 0
    turn(ada, 1.0)  # r_t = 1 > 0.6: 80 reals of 800
    assert ada.p.item() == pytest.approx(0.1)
    for _ in range(4):
        turn(ada, 0.7)  # r_t = 0.4
    assert ada.p.item() == pytest.approx(0.0, abs=1e-7)
    for _ in range(80):
        turn(ada, 1.0)
    assert ada.p == 1, "a probability"


class Judges(nn.Module):
    """A discriminator of packs: a map of 5 × 5 logits for each pack, of which `positive` are above 0."""

    def __init__(self, pack: int = 1, positive: int = 25) -> None:
        super().__init__()
        self.pack = self.couples_images = pack
        self.map = nn.Parameter(torch.where(torch.arange(25) < positive, 1.0, -1.0))

    def forward(self, images: Tensor) -> Tensor:
        return self.map.reshape(1, 1, 5, 5).expand(len(images) // self.pack, -1, -1, -1)


@pytest.mark.parametrize(
    ("judges", "p"),
    [
        ([Judges()], 0.1),
        ([Judges(pack=4)], 0.1),
        ([Judges(positive=21)], 0.1),  # r_t = 0.68
        ([Judges(positive=19)], 0.0),  # r_t = 0.52
        ([Judges(), Judges(positive=19)], 0.1),  # r_t = 0.76 of both discriminators
    ],
)
def test_p_moves_by_the_images_seen_whatever_a_discriminator_says_of_each(judges: list[Judges], p: float) -> None:
    ada, generator = ADA(kimg=0.32), MLPGenerator(4, 1, 4, widths=(8,))
    options = {"latent": Normal(4), "loss": Hinge(), "augmentation": ada}
    if len(judges) > 1:
        system: GAN = GMAN(generator, {str(number): one for number, one in enumerate(judges)}, **options)
    else:
        system = GAN(generator, judges[0], **options)
    for step in range(4):
        turn = next(system.turns(step))
        turn.objective({"image": torch.rand(8, 1, 4, 4)})
        system.after_turn(turn.player)
    assert ada.p.item() == pytest.approx(p), "32 images of 320"


def test_p_and_what_it_has_seen_survive_a_resume() -> None:
    ada, other = ADA(kimg=0.5), ADA(kimg=0.5)
    for _ in range(6):
        turn(ada, 1.0)
    other.load_state_dict(ada.state_dict())
    for one in (ada, other):
        turn(one, 1.0), turn(one, 0.9)
    assert other.p == ada.p > 0


def test_without_kimg_p_stays() -> None:
    ada = ADA(p=0.25, kimg=None)
    for _ in range(9):
        turn(ada, 1.0)
    assert ada.p == 0.25


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("size", [(16, 16), (8, 20), (1, 1)])
def test_at_p_0_every_transform_leaves_the_images_as_they_are(channels: int, size: tuple[int, int]) -> None:
    images = pictures(channels, *size)
    ada = ADA(AdaGeometry(), AdaColour(), AdaFilter(1, 1, 1, 1), AdaCorruption(1, 1), p=0)
    assert torch.allclose(ada(images), images, atol=1e-5)


def test_a_mirror_a_quarter_turn_and_a_shift_move_whole_pixels() -> None:
    images, off = pictures(), {"scale": 0, "rotate": 0, "stretch": 0, "fractional_shift": 0}
    torch.manual_seed(0)
    mirrored = AdaGeometry(quarter_turns=0, shift=0, **off)(images, ONE)
    turned = AdaGeometry(flip=0, shift=0, **off)(images, ONE)
    shifted = AdaGeometry(flip=0, quarter_turns=0, **off)(images, ONE)
    for one, image in zip(mirrored, images, strict=True):
        assert any(torch.equal(one, way) for way in (image, image.flip(2)))
    for one, image in zip(turned, images, strict=True):
        assert any(torch.equal(one, image.rot90(k, (1, 2))) for k in range(4))
    for one, image in zip(shifted, images, strict=True):
        ways = (image[:, fold(torch.arange(16) + y, 16)][:, :, fold(torch.arange(16) + x, 16)]
                for y in range(-2, 3) for x in range(-2, 3))  # fmt: skip
        assert any(torch.equal(one, way) for way in ways), "up to an eighth of 16, and its mirror beyond"
    assert not torch.equal(turned, images)


@pytest.mark.parametrize("p", [0.15, 0.0, 1.0])
@pytest.mark.parametrize(
    "group", [AdaGeometry(flip=0, quarter_turns=0, shift=0), AdaFilter(1, 1, 1, 1)], ids=["geometry", "filter"]
)
def test_images_that_are_not_chosen_stay_bit_for_bit_and_the_chosen_ones_are_those_of_a_gpu(
    group: AdaGeometry | AdaFilter, p: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A CPU computes the chosen images only, a GPU all of them. A GPU's branch is run on the CPU."""
    images, results = pictures().repeat(4, 1, 1, 1).requires_grad_(), []
    for compute in (chance.of_the_chosen, chance.of_all):
        monkeypatch.setattr(chance, "of_the_chosen", compute)
        torch.manual_seed(0)
        results.append(group(images, torch.tensor(p)))
    few, every = results
    assert torch.allclose(few, every, atol=1e-5)
    gradients = [torch.autograd.grad(each.square().sum(), images)[0] for each in results]
    assert torch.allclose(*gradients, atol=1e-4)
    for result in results:
        same = sum(torch.equal(one, other) for one, other in zip(result, images, strict=True))
        assert same == 24 if p == 0 else same < 24 and (p == 1 or same > 0)


def test_only_the_chosen_images_are_computed_on_a_cpu_and_all_elsewhere() -> None:
    counts: list[int] = []

    def change(images: Tensor, numbers: Tensor) -> Tensor:
        counts.append(len(images))
        return images + numbers[:, None, None, None]

    images, chosen = pictures(), torch.tensor([False, True, False, False, True, True])
    wanted = images + (chosen * torch.arange(6.0))[:, None, None, None]
    for compute in (chance.where_chosen, chance.of_all):
        assert torch.equal(compute(chosen, images, change, torch.arange(6.0)), wanted)
    elsewhere = chance.where_chosen(chosen.to("meta"), images.to("meta"), change, torch.arange(6.0, device="meta"))
    assert elsewhere.device.type == "meta"
    assert counts == [3, 6, 6]


def test_half_a_size_is_a_blur_and_not_an_alias() -> None:
    """A checkerboard of single pixels at half its size is grey: its frequency cannot be shown any more."""
    board = ((torch.arange(32)[:, None] + torch.arange(32)) % 2 * 2.0 - 1)[None, None]
    smaller = resample(board, torch.diag(torch.tensor([2.0, 2.0, 1.0]))[None], torch.tensor(SYM6))
    assert smaller[:, :, 10:22, 10:22].abs().max() < 0.05


def test_the_bands_add_up_to_the_image_and_split_frequencies() -> None:
    bands = AdaFilter().bands
    unit = torch.zeros(bands.shape[1])
    unit[bands.shape[1] // 2] = 1
    assert torch.allclose(bands.sum(0), unit, atol=1e-6)
    assert torch.allclose(bands.sum(1), torch.tensor([1.0, 0, 0, 0]), atol=1e-6), "a flat image is in the lowest band"
    alternating = (torch.arange(bands.shape[1]) % 2 * -2 + 1) * (-1) ** (bands.shape[1] // 2)
    assert (bands @ alternating.float()).tolist() == pytest.approx([0, 0, 0, 1], abs=1e-5)


def test_hue_turns_about_grey_and_a_third_of_a_turn_exchanges_the_channels() -> None:
    turned = turned_about_grey(torch.tensor([2 * math.pi / 3]), AdaColour().cross)[0]
    assert torch.allclose(turned @ torch.tensor([1.0, 2.0, 3.0]), torch.tensor([3.0, 1.0, 2.0]), atol=1e-5)


def test_a_luma_flip_exchanges_light_and_dark_and_keeps_the_hue() -> None:
    torch.manual_seed(0)
    images = pictures()
    changed = AdaColour(brightness=0, contrast=0, hue=0, saturation=0)(images, ONE)
    grey, before = changed.mean(1), images.mean(1)
    flipped = [torch.allclose(one, -other, atol=1e-5) for one, other in zip(grey, before, strict=True)]
    assert 0 < sum(flipped) < 6
    assert torch.allclose(changed - grey[:, None], images - before[:, None], atol=1e-5)


def test_the_mean_power_of_the_bands_stays() -> None:
    torch.manual_seed(0)
    filtering = AdaFilter(low=1)
    gains = filtering.gains(64, ONE)
    assert gains.std() > 0.1
    assert torch.allclose((filtering.power * gains.square()).sum(1), torch.ones(64), atol=1e-5)


@pytest.mark.parametrize("settings", [{"p": 1.5}, {"target": 2}, {"every": 0}, {"kimg": 0}, {"colour": "x"}], ids=str)
def test_numbers_out_of_their_range_are_refused(settings: dict) -> None:
    with pytest.raises((ValueError, TypeError)):
        ADA(**settings)
    with pytest.raises(ValueError, match=r"hue=2"):
        AdaColour(hue=2)
