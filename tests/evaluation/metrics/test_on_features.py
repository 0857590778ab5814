"""Scores on features: known answers, and the same numbers as torchmetrics, torch-fidelity and scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from ganrun.evaluation.metrics import manifolds as manifolds_room
from ganrun.evaluation.metrics import neighbours
from ganrun.evaluation.metrics.copying import authentic, copied
from ganrun.evaluation.metrics.frechet import frechet, gaussian
from ganrun.evaluation.metrics.inception_score import inception_score
from ganrun.evaluation.metrics.kernel import kid
from ganrun.evaluation.metrics.manifolds import manifolds
from ganrun.evaluation.metrics.path_length import lerp, path_length, slerp, steps, without_extremes
from ganrun.evaluation.metrics.shares import shares, total_variation

AGREE = {"rel": 1e-6, "abs": 1e-9}


@pytest.fixture
def clouds() -> tuple[Tensor, Tensor]:
    """Real and fake features, correlated and skewed as a network's are, 300 and 240 of 12 numbers, float64."""
    source = torch.Generator().manual_seed(3)
    real = torch.randn(300, 12, generator=source).double() @ torch.randn(12, 12, generator=source).double()
    fake = 0.9 * torch.randn(240, 12, generator=source).double() @ torch.randn(12, 12, generator=source).double() + 0.3
    return real.relu(), fake.relu()


def on_a_line(*places: float) -> Tensor:
    return torch.tensor(places)[:, None]


# -- Fréchet --------------------------------------------------------------------------------------------------------


def test_the_frechet_distance_of_a_set_to_itself_is_0(clouds: tuple[Tensor, Tensor]) -> None:
    one = gaussian(clouds[0])
    assert frechet(one, one) == pytest.approx(0, abs=1e-9)


def test_a_shift_costs_its_square_and_a_stretch_the_square_of_the_deviations_difference(clouds) -> None:
    real = clouds[0]
    shift = torch.arange(12.0).double() / 10
    shifted_and_stretched = 2 * (real - real.mean(0)) + real.mean(0) + shift
    # N(m, C) and N(m + s, 4C): |s|² + tr(C + 4C − 2·2C)
    closed = shift.square().sum() + gaussian(real).covariance.trace()
    assert frechet(gaussian(real), gaussian(shifted_and_stretched)) == pytest.approx(closed.item(), rel=1e-9)


def test_features_that_never_fire_do_not_upset_the_frechet_distance(clouds: tuple[Tensor, Tensor]) -> None:
    dead = [torch.cat([cloud, torch.zeros(len(cloud), 5)], 1) for cloud in clouds]
    assert frechet(*map(gaussian, dead)) == pytest.approx(frechet(*map(gaussian, clouds)), rel=1e-9)


def test_the_frechet_distance_is_that_of_scipy_torch_fidelity_and_torchmetrics(clouds) -> None:
    linalg = pytest.importorskip("scipy.linalg")
    theirs = pytest.importorskip("torch_fidelity.metric_fid")
    other = pytest.importorskip("torchmetrics.image.fid")
    (m1, s1), (m2, s2) = one, two = [gaussian(cloud) for cloud in clouds]
    mine = frechet(one, two)
    middle = linalg.sqrtm((s1 @ s2).numpy()).real
    assert mine == pytest.approx(((m1 - m2).square().sum() + (s1 + s2).trace()).item() - 2 * middle.trace(), **AGREE)
    statistics = [theirs.fid_features_to_statistics(cloud) for cloud in clouds]
    found = theirs.fid_statistics_to_metric(*statistics, verbose=False)
    assert mine == pytest.approx(found["frechet_inception_distance"], **AGREE)
    assert mine == pytest.approx(other._compute_fid(m1, s1, m2, s2).item(), **AGREE)


def test_a_covariance_needs_more_pictures_than_features() -> None:
    with pytest.raises(ValueError, match="12 features needs at least 13 pictures, and there are 12"):
        gaussian(torch.randn(12, 12))


# -- KID ------------------------------------------------------------------------------------------------------------


def test_kid_of_two_points_each_is_worked_out_by_hand() -> None:
    real, fake = on_a_line(0, 1), on_a_line(1, 2)
    # k(x, y) = (xy + 1)³: within the reals 1, within the fakes 27, between them 1, 1, 8, 27
    assert kid(real, fake, subsets=1, size=2) == pytest.approx(1 + 27 - 2 * 37 / 4)


def test_kid_is_that_of_torch_fidelity_with_the_same_subsets(clouds: tuple[Tensor, Tensor]) -> None:
    theirs = pytest.importorskip("torch_fidelity.metric_kid")
    settings = {"kid_subsets": 7, "kid_subset_size": 100, "rng_seed": 2020, "verbose": False}
    found = theirs.kid_features_to_metric(clouds[1], clouds[0], **settings)
    assert kid(*clouds, subsets=7, size=100) == pytest.approx(found["kernel_inception_distance_mean"], **AGREE)


def test_kid_of_all_the_pictures_is_that_of_torchmetrics(clouds: tuple[Tensor, Tensor]) -> None:
    theirs = pytest.importorskip("torchmetrics.image.kid")
    real, fake = clouds[0][:240], clouds[1]
    assert kid(real, fake, subsets=1, size=240) == pytest.approx(theirs.poly_mmd(real, fake).item(), **AGREE)


def test_kid_refuses_subsets_larger_than_the_set(clouds: tuple[Tensor, Tensor]) -> None:
    with pytest.raises(ValueError, match="subsets of 1000 cannot be taken from 240 and 300"):
        kid(*clouds)


# -- Inception Score --------------------------------------------------------------------------------------------------


def test_the_inception_score_runs_from_1_to_the_number_of_classes() -> None:
    sure = 1000 * torch.eye(4).repeat(5, 1)
    assert inception_score(sure, splits=1) == pytest.approx(4)
    assert inception_score(torch.zeros(20, 4)) == pytest.approx(1)
    assert inception_score(sure[:1].repeat(20, 1)) == pytest.approx(1), "one class alone is no variety"
    with pytest.raises(ValueError, match="one class"):
        inception_score(torch.zeros(20, 1))


def test_the_inception_score_is_that_of_torch_fidelity_and_torchmetrics(clouds: tuple[Tensor, Tensor]) -> None:
    theirs = pytest.importorskip("torch_fidelity.metric_isc")
    found = theirs.isc_features_to_metric(clouds[0], splits=7)
    assert inception_score(clouds[0], splits=7) == pytest.approx(found["inception_score_mean"], **AGREE)
    other = pytest.importorskip("torchmetrics.image.inception").InceptionScore(feature=Passed(), splits=1)
    other.update(clouds[0])
    assert inception_score(clouds[0], splits=1) == pytest.approx(other.compute()[0].item(), **AGREE)


class Passed(torch.nn.Module):
    """What is to be its features already."""

    num_features = 12

    def forward(self, features: Tensor) -> Tensor:
        return features


# -- manifolds --------------------------------------------------------------------------------------------------------


def test_manifolds_made_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifolds_room, "K_DENSITY", 1)
    real, fake = on_a_line(0, 1, 10, 14), on_a_line(1.5, 20, 21)
    both = torch.stack([neighbours.radii(real, 1)] * 2)
    assert both[0].tolist() == [1, 1, 16, 16]
    monkeypatch.setattr(manifolds_room, "reach", lambda points: torch.stack([neighbours.radii(points, 1)] * 2))
    found = manifolds(real, fake, both)
    assert found.precision == pytest.approx(1 / 3), "1.5 lies within 1 of the real at 1"
    assert found.density == pytest.approx(1 / 3), "of which only one ball holds a fake"
    assert found.coverage == pytest.approx(1 / 4)
    # 1.5 reaches 18.5, all of the reals; the two others reach 1
    assert found.recall == 1


def test_equal_sets_cover_each_other_whole(clouds: tuple[Tensor, Tensor]) -> None:
    real = clouds[0]
    found = manifolds(real, real)
    assert (found.precision, found.recall, found.coverage) == (1, 1, 1)


def test_precision_and_recall_are_those_of_torch_fidelity(clouds: tuple[Tensor, Tensor]) -> None:
    theirs = pytest.importorskip("torch_fidelity.metric_prc")
    settings = {"prc_neighborhood": 3, "prc_batch_size": 100, "save_cpu_ram": False, "verbose": False}
    found, mine = theirs.prc_features_to_metric(clouds[1], clouds[0], **settings), manifolds(*clouds)
    assert 0 < mine.precision < 1
    assert 0 < mine.recall < 1
    assert mine.precision == pytest.approx(found["precision"], **AGREE)
    assert mine.recall == pytest.approx(found["recall"], **AGREE)


def test_density_and_coverage_are_what_their_definitions_count(clouds: tuple[Tensor, Tensor]) -> None:
    real, fake = clouds
    apart, reach = np.linalg.norm(real[:, None] - fake[None], axis=2), []
    for point in real:
        reach.append(np.sort(np.linalg.norm(real - point, axis=1))[5])
    inside = apart < np.array(reach)[:, None]
    assert manifolds(real, fake).density == pytest.approx(inside.sum() / (5 * len(fake)), **AGREE)
    assert manifolds(real, fake).coverage == pytest.approx(inside.any(1).mean(), **AGREE)


def test_distances_do_not_depend_on_the_size_of_a_block(clouds, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = manifolds(*clouds)
    monkeypatch.setattr(neighbours, "BLOCK", 1000)
    assert manifolds(*clouds) == whole


# -- copies, shares, paths --------------------------------------------------------------------------------------------


def test_copying_is_1_for_copies_and_a_half_for_new_pictures() -> None:
    train, test, new = torch.randn(3, 400, 4, generator=torch.Generator().manual_seed(1))
    assert copied(train, test, train[:50]) == 1
    assert copied(train, test, test) == pytest.approx(0.5)
    assert copied(train, test, new) == pytest.approx(0.5, abs=0.06)
    assert authentic(train, train[:50]) == 0
    assert authentic(on_a_line(0, 1, 5), on_a_line(0.5, 3, -2)) == pytest.approx(2 / 3), "0.5 is nearer than 1"


def test_a_training_picture_that_occurs_twice_has_no_authentic_copies() -> None:
    train = torch.randn(100, 4, generator=torch.Generator().manual_seed(1))
    rounded = train * (1 + 1e-7)  # another batch size changes the last bits
    assert authentic(torch.cat([train, rounded]), train[:50] * (1 - 3e-7)) == 0
    assert authentic(on_a_line(0, 0, 1, 5), on_a_line(0, 0.5, 3, -2)) == 0.5, "as without the second 0"
    with pytest.raises(ValueError, match="fewer than two different"):
        authentic(on_a_line(2, 2), on_a_line(2))


def test_shares_and_how_far_they_are_apart() -> None:
    found = shares(torch.tensor([0, 0, 2, 2]), 3)
    assert found.tolist() == [0.5, 0, 0.5]
    assert total_variation(found, torch.tensor([0.5, 0.25, 0.25]).double()) == 0.25
    assert total_variation(torch.tensor([1.0, 0]), torch.tensor([0.0, 1])) == 1


def test_a_straight_path_through_linear_features_has_the_length_of_its_ends_distance() -> None:
    a, b = torch.zeros(3, 2), torch.tensor([[3.0, 4], [3, 4], [3, 4]])
    before, after = steps(a.double(), b.double(), torch.tensor([[0.1], [0.5], [0.9]]), lerp)
    assert path_length(before, after).tolist() == pytest.approx([25.0] * 3, rel=1e-6)


def test_an_arc_keeps_the_length_of_gaussian_latents_and_its_pace() -> None:
    a, b = torch.tensor([[2.0, 0]]).double(), torch.tensor([[0, 2.0]]).double()
    middle = slerp(a, b, torch.tensor([[0.5]]))
    assert middle.flatten().tolist() == pytest.approx([math.sqrt(2)] * 2)
    length = path_length(*steps(a, b, torch.tensor([[0.3]]), slerp))  # a quarter turn at radius 2: (π/2 · 2)²
    assert length.item() == pytest.approx(math.pi**2, rel=1e-6)
    assert without_extremes(torch.cat([torch.ones(199), torch.tensor([1e9])])) == 1


def test_steps_are_those_of_torch_fidelity(clouds: tuple[Tensor, Tensor]) -> None:
    theirs = pytest.importorskip("torch_fidelity.utils")
    a, b = clouds[0][:50] + 1, clouds[1][:50] - 1
    for blend, name in ((lerp, "lerp"), (slerp, "slerp_any")):
        assert torch.allclose(steps(a, b, torch.zeros(50, 1), blend)[1], theirs.batch_interp(a, b, 1e-4, name), 1e-9)
