"""Augmentations: random, differentiable twice, the same for the same seed, nothing at strength 0."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ganrun.augmentations.ada import ADA
from ganrun.augmentations.ada_colour import AdaColour
from ganrun.augmentations.ada_corruption import AdaCorruption
from ganrun.augmentations.ada_filter import AdaFilter
from ganrun.augmentations.ada_geometry import AdaGeometry
from ganrun.augmentations.affine import Affine
from ganrun.augmentations.augmentation import Augmentation
from ganrun.augmentations.colour import Colour
from ganrun.augmentations.cutout import Cutout
from ganrun.augmentations.diffaugment import DiffAugment
from ganrun.augmentations.instance_noise import InstanceNoise
from ganrun.augmentations.pixels import interpolate, look_up
from ganrun.augmentations.translation import Translation


def every_transform_of_ada(p: float = 1.0) -> ADA:
    return ADA(AdaGeometry(), AdaColour(), AdaFilter(1, 1, 1, 1), AdaCorruption(1, 1), p=p, kimg=None)


TRANSFORMS: dict[str, Augmentation] = {
    "colour": Colour(),
    "translation": Translation(0.3),
    "cutout": Cutout(),
    "flip": Affine(flip=0.5),
    "rotate and scale": Affine(rotate=30, scale=0.2),
    "noise": InstanceNoise(),
    "all": DiffAugment({"colour": Colour(), "translation": Translation(), "cutout": Cutout()}),
}
TRANSFORMS["ada"] = every_transform_of_ada()
NOTHING: dict[str, Augmentation] = {
    "colour": Colour(0, 0, 0),
    "translation": Translation(0),
    "cutout": Cutout(0),
    "affine": Affine(0, 0, 0),
    "noise": InstanceNoise(0),
    "ada": ADA(AdaGeometry(*7 * [0]), AdaColour(*5 * [0]), AdaFilter(), AdaCorruption(), p=1),
    "all": DiffAugment({"translation": Translation(0), "cutout": Cutout(0)}),
}
every_transform = pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)


def seeded(transform: Augmentation, images: Tensor, seed: int = 0) -> Tensor:
    torch.manual_seed(seed)
    return transform(images)


def pictures(channels: int = 3, count: int = 8, **kind) -> Tensor:
    return torch.rand(count, channels, 6, 8, generator=torch.Generator().manual_seed(0), **kind) * 2 - 1


@every_transform
@pytest.mark.parametrize("channels", [1, 3])
def test_shape_and_precision_stay_and_pixels_do_not(transform: Augmentation, channels: int) -> None:
    for kind in (torch.float32, torch.bfloat16):
        images = pictures(channels).to(kind)
        changed = seeded(transform, images)
        assert (changed.shape, changed.dtype) == (images.shape, kind)
        assert not torch.equal(changed, images)


@every_transform
def test_the_same_seed_is_the_same_transform_and_another_is_another(transform: Augmentation) -> None:
    assert torch.equal(seeded(transform, pictures()), seeded(transform, pictures()))
    assert not torch.equal(seeded(transform, pictures()), seeded(transform, pictures(), seed=1))


@every_transform
def test_each_image_is_changed_in_its_own_way(transform: Augmentation) -> None:
    changed = seeded(transform, pictures(count=1).expand(8, -1, -1, -1))
    assert any(not torch.equal(changed[0], other) for other in changed[1:])


@pytest.mark.slow
@every_transform
def test_gradients_flow_through_and_have_gradients_themselves(transform: Augmentation) -> None:
    images = pictures(count=2, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: seeded(transform, x), images)
    assert torch.autograd.gradgradcheck(lambda x: seeded(transform, x).square(), images)
    seeded(transform, images).sum().backward()
    assert images.grad is not None
    assert images.grad.any()


@pytest.mark.parametrize("transform", NOTHING.values(), ids=NOTHING)
def test_strength_0_changes_nothing(transform: Augmentation) -> None:
    assert torch.equal(seeded(transform, pictures()), pictures())


@every_transform
def test_a_plan_needs_no_memory(transform: Augmentation) -> None:
    if not isinstance(transform, InstanceNoise):  # its count of turns would have to be planned with it
        assert copy.deepcopy(transform).to("meta")(torch.empty(2, 3, 6, 8, device="meta")).shape == (2, 3, 6, 8)


def test_brightness_adds_and_contrast_and_saturation_keep_the_mean() -> None:
    images = pictures()
    added = seeded(Colour(0.5, 0, 0), images) - images
    assert torch.allclose(added, added[:, :1, :1, :1].expand_as(added), atol=1e-6)
    assert added.abs().max() <= 0.5
    contrasted = seeded(Colour(0, 0, 0.5), images)
    assert torch.allclose(contrasted.mean((1, 2, 3)), images.mean((1, 2, 3)), atol=1e-6)
    factor = contrasted.std((1, 2, 3)) / images.std((1, 2, 3))
    assert 0.5 <= factor.min() < factor.max() <= 1.5
    assert torch.allclose(seeded(Colour(0, 1, 0), images).mean(1), images.mean(1), atol=1e-6)


def test_a_grey_image_has_no_saturation() -> None:
    assert torch.allclose(seeded(Colour(0, 1, 0), pictures(1)), pictures(1))


def test_translation_moves_by_whole_pixels_and_leaves_0_behind() -> None:
    images = pictures(1, count=32)
    for image, moved in zip(images, seeded(Translation(0.25), images), strict=True):
        # round(6 · ¼) = 2 rows, 8 · ¼ = 2 columns
        padded = F.pad(image, (2, 2, 2, 2))
        shifts = [padded[:, y : y + 6, x : x + 8] for y in range(5) for x in range(5)]
        assert sum(torch.equal(moved, shift) for shift in shifts) == 1


def test_cutout_sets_one_rectangle_to_0() -> None:
    left = seeded(Cutout(0.5), torch.ones(64, 2, 6, 8))
    holes = left[:, 0] == 0
    assert torch.equal(left[:, 0], left[:, 1])
    assert torch.equal(holes, holes.any(2, keepdim=True) & holes.any(1, keepdim=True)), "a rectangle"
    areas = holes.sum((1, 2))
    assert areas.max() == 3 * 4, "half of both sides"
    assert areas.min() >= 1


def test_flip_1_is_the_mirror_image() -> None:
    assert torch.equal(Affine(flip=1)(pictures()), pictures().flip(3))


def test_a_place_between_pixels_is_their_mean_and_beyond_the_edge_is_0() -> None:
    image = torch.tensor([[[[1.0, 3.0], [5.0, 7.0]]]])
    rows, columns = torch.tensor([[[0.0, 0.5], [0.0, 5.0]]]), torch.tensor([[[0.5, 0.5], [-0.5, 0.0]]])
    assert interpolate(image, rows, columns).tolist() == [[[[2.0, 4.0], [0.5, 0.0]]]]
    assert look_up(image, rows.long(), torch.tensor([[[1, 0], [-1, 0]]])).tolist() == [[[[3.0, 1.0], [0.0, 0.0]]]]


def test_turning_and_scaling_are_torchs_own() -> None:
    images = pictures(count=4)
    images = images[:, :, :, :6]  # square, so that torch's coordinates are a rotation too
    ours = seeded(Affine(rotate=40, scale=0.3), images)
    torch.manual_seed(0)
    angle = (torch.empty(4, 1, 1, 1).uniform_() * 80 - 40).flatten().deg2rad()
    size = (torch.empty(4, 1, 1, 1).uniform_() * 0.6 + 0.7).flatten()
    cosine, sine, zero = angle.cos() / size, angle.sin() / size, torch.zeros(4)
    theta = torch.stack([cosine, sine, zero, -sine, cosine, zero], 1).view(4, 2, 3)
    grid = F.affine_grid(theta, list(images.shape), align_corners=True)
    assert torch.allclose(ours, F.grid_sample(images, grid, align_corners=True), atol=1e-5)


def test_noise_has_its_deviation_and_fades_with_the_discriminators_turns() -> None:
    noise, black = InstanceNoise(0.5, turns=4), torch.zeros(64, 1, 16, 16)
    deviations = []
    for _ in range(6):
        deviations.append(seeded(noise, black).std().item())
        noise.after_turn()
    assert deviations == pytest.approx([0.5, 0.375, 0.25, 0.125, 0, 0], rel=0.02)
    again = InstanceNoise(0.5, turns=4)
    again.load_state_dict(noise.state_dict())
    assert torch.equal(again(black), black), "how far it faded is saved"
    inside = DiffAugment({"noise": InstanceNoise(0.5, turns=1)})
    inside.after_turn()
    assert torch.equal(inside(black), black)


def test_a_strength_that_cannot_be_is_refused_by_its_name() -> None:
    with pytest.raises(ValueError, match=r"brightness=-1"):
        Colour(brightness=-1)
    with pytest.raises(ValueError, match=r"fraction=1.5: use 0 to 1"):
        Translation(1.5)
    with pytest.raises(ValueError, match=r"fraction=2: use 0 to 1"):
        Cutout(2)
    with pytest.raises(ValueError, match=r"scale=1: the factor"):
        Affine(scale=1)
    with pytest.raises(ValueError, match=r"sigma=-0.1"):
        InstanceNoise(-0.1)
