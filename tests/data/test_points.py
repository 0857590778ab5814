"""Ring, grid and stacked MNIST: known modes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ganrun.data.loading.stream import prepare
from ganrun.data.points import Grid, Ring
from ganrun.data.stacked_mnist import StackedMNIST


def no_classifier(data):
    raise AssertionError("points need none")


def test_points_lie_around_their_centres_within_the_range_of_an_image() -> None:
    for data, count, sigma, radius in ((Ring(classes=8), 8, 0.01, 1.25), (Grid(classes=25), 25, 0.05, 5)):
        points = data.take(torch.arange(len(data)))
        assert points["image"].shape == (100_000, 2, 1, 1)
        assert points["image"].abs().max() < 1
        mode, good = data.modes.name(points["image"], no_classifier)
        assert data.modes.count == count
        assert torch.equal(mode, points["label"])
        assert good.double().mean().item() == pytest.approx(1 - 2.71828**-4.5, abs=1e-3)  # of a plane's 3 σ
        away = radius * (points["image"].flatten(1) - data.modes.centres[mode])
        assert away.std().item() == pytest.approx(sigma, rel=0.01)
        assert points["label"].bincount().min() > 0.9 * 100_000 / count


def test_the_centres_are_those_of_the_protocol() -> None:
    assert torch.allclose(1.25 * Ring(count=10).modes.centres[[0, 2]], torch.tensor([[1.0, 0], [0, 1]]), atol=1e-6)
    assert (5 * Grid(count=10).modes.centres).unique().tolist() == [-4, -2, 0, 2, 4]


def test_points_are_a_function_of_their_seed_and_reach_a_step_unrounded() -> None:
    data, same, other = Ring(count=50), Ring(count=50), Ring(count=50, seed=1)
    batch = data.take(torch.arange(50))
    assert torch.equal(batch["image"], same.take(torch.arange(50))["image"])
    assert not torch.equal(batch["image"], other.take(torch.arange(50))["image"])
    assert torch.equal(prepare(batch, torch.device("cpu"), flip=True)["image"], batch["image"])
    assert "label" not in batch


@pytest.mark.parametrize(
    ("words", "says"),
    [({"classes": 3}, "dataset.classes=3 must be 0, or 8"), ({"image_size": 2}, "a point is 2 channels of 1×1")],
)
def test_facts_that_no_point_has_are_refused(words, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Ring(count=10, **words)


def test_stacked_digits_are_three_of_mnist_and_not_stored(mnist_root: Path) -> None:
    data = StackedMNIST(str(mnist_root), "test", classes=1000)
    assert (len(data), data.channels, data.image_size, data.classes) == (26_000, 3, (28, 28), 1000)
    batch = data.take(torch.tensor([5, 17]))
    digits = data.digits.take(data.triples[17])
    assert torch.equal(batch["image"][1], digits["image"][:, 0])
    assert batch["label"][1].item() == int("".join(str(label) for label in digits["label"].tolist()))
    assert data.class_names[batch["label"][1]] == f"{batch['label'][1]:03d}"
    assert data.nbytes == data.digits.nbytes
    known = dict(zip(map(bytes, digits["image"].numpy()), digits["label"].tolist(), strict=True))

    def classifier_of(singles):
        assert singles is data.digits
        return lambda images: torch.tensor([known[bytes(image.numpy())] for image in images])

    assert data.modes.name(batch["image"][1:], classifier_of).mode.tolist() == [batch["label"][1]]
