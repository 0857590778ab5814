"""doubling: the same convolution, in fewer products."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from ganrun.networks.doubling import DoublingConv2d, HalvingConv2d


def doubled(images: torch.Tensor, layer: torch.nn.Conv2d) -> torch.Tensor:
    return F.conv2d(F.interpolate(images, scale_factor=2), layer.weight, layer.bias, padding=1)


def halved(images: torch.Tensor, layer: torch.nn.Conv2d) -> torch.Tensor:
    return F.avg_pool2d(F.conv2d(images, layer.weight, layer.bias, padding=1), 2)


@pytest.mark.parametrize(("made", "slow"), [(DoublingConv2d, doubled), (HalvingConv2d, halved)])
@pytest.mark.parametrize("sides", [(4, 6), (7, 5)])
def test_it_is_resampling_and_a_convolution_with_all_its_gradients(made, slow, sides) -> None:
    torch.manual_seed(0)
    layer = made(3, 5).double()
    images = torch.randn(2, 3, *sides, dtype=torch.float64, requires_grad=True)
    direct = slow(images, layer)
    quick = layer(images)
    torch.testing.assert_close(quick, direct, rtol=0, atol=1e-12)

    towards = torch.randn_like(direct)
    inputs = (images, layer.weight, layer.bias)
    for one, other in zip(
        torch.autograd.grad(quick, inputs, towards), torch.autograd.grad(direct, inputs, towards), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


@pytest.mark.parametrize("made", [DoublingConv2d, HalvingConv2d])
def test_its_state_is_that_of_a_convolution(made) -> None:
    assert made(3, 5).state_dict().keys() == torch.nn.Conv2d(3, 5, 3).state_dict().keys()


@pytest.mark.parametrize("made", [DoublingConv2d, HalvingConv2d])
def test_channels_last_weights_give_channels_last_images(made) -> None:
    torch.manual_seed(0)
    layer, images = made(3, 5), torch.randn(2, 3, 4, 6)
    before = layer(images)
    after = layer.to(memory_format=torch.channels_last)(images)
    assert after.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(after, before)
