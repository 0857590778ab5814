"""Layers that compare the images of a batch: numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from ganrun.networks.dcgan import DCGANDiscriminator
from ganrun.networks.minibatch import MINIBATCH, MinibatchDiscrimination, MinibatchStddev


def test_the_deviation_over_the_batch_is_one_more_channel() -> None:
    features = torch.tensor([[1.0, 0.0], [5.0, 2.0]]).view(2, 2, 1, 1).repeat(1, 1, 1, 3)  # deviations 2 and 1
    more = MinibatchStddev()(features)
    assert torch.equal(more[:, :2], features)
    assert more[:, 2].flatten().tolist() == pytest.approx([1.5] * 6)


def test_images_that_are_all_alike_have_no_deviation_and_a_finite_gradient() -> None:
    features = torch.ones(4, 2, 1, 1, requires_grad=True)
    more = MinibatchStddev()(features)
    more.sum().backward()
    assert more[:, 2].max() <= 1.1e-4
    assert torch.isfinite(features.grad).all()


def test_discrimination_counts_the_images_that_are_near() -> None:
    layer = MinibatchDiscrimination(1, (1, 1), kernels=1, dimensions=2)
    layer.T.weight.data = torch.tensor([[1.0], [2.0]])  # M = (f, 2 f), so that |M_i - M_j|₁ = 3 |f_i - f_j|
    features = torch.tensor([0.0, 0.0, 1.0]).view(3, 1, 1, 1)
    o = layer(features)[:, 1].flatten()
    near, far = 1.0, math.exp(-3)
    assert o.tolist() == pytest.approx([2 * near + far, 2 * near + far, near + 2 * far])


@pytest.mark.parametrize("name", MINIBATCH)
@pytest.mark.parametrize("heads", [1, 3])
def test_a_discriminator_takes_each_of_them_and_penalties_reach_its_weights(name: str, heads: int) -> None:
    torch.manual_seed(0)
    discriminator = DCGANDiscriminator(1, (16, 24), 4, norm="none", heads=heads, minibatch=name)
    images = torch.randn(3, 1, 16, 24, requires_grad=True)
    logits = discriminator(images)
    assert logits.shape == ((3,) if heads == 1 else (3, 3))
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    gradient.square().sum().backward()
    weight = discriminator.layers[0].weight
    assert torch.isfinite(weight.grad).all()
    assert weight.grad.any()


@pytest.mark.parametrize(("name", "couples"), [("none", False), ("stddev", True), ("discrimination", True)])
def test_a_verdict_depends_on_the_other_images(name: str, couples: bool) -> None:
    torch.manual_seed(0)
    discriminator = DCGANDiscriminator(1, 16, 4, norm="none", minibatch=name).double()
    images = torch.randn(4, 1, 16, 16, dtype=torch.double) * 9
    with torch.no_grad():
        among, alone = discriminator(images)[0], discriminator(images[:1].repeat(4, 1, 1, 1))[0]
    assert torch.allclose(among, alone, rtol=1e-6, atol=1e-12) is not couples


def test_an_unknown_name_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="minibatch='std' is none of: none, stddev, discrimination"):
        DCGANDiscriminator(1, 16, minibatch="std")


def test_stddev_of_groups_compares_the_images_of_a_group_alone():
    images = torch.tensor([0.0, 5.0, 2.0, 5.0]).view(4, 1, 1, 1)  # groups of two: images 0 and 2, images 1 and 3
    more = MinibatchStddev(2)(images)[:, 1].flatten()
    torch.testing.assert_close(more, torch.tensor([1.0, 1e-4, 1.0, 1e-4]))
    torch.testing.assert_close(MinibatchStddev(3)(images), MinibatchStddev(2)(images))  # 3 does not divide 4
    torch.testing.assert_close(MinibatchStddev(8)(images), MinibatchStddev()(images))
