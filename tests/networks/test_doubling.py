"""doubling: the same convolution, in fewer products."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from ganrun.networks.doubling import DoublingConv2d


def test_it_is_nearest_neighbour_upsampling_and_a_convolution_with_all_its_gradients() -> None:
    torch.manual_seed(0)
    layer = DoublingConv2d(3, 5).double()
    images = torch.randn(2, 3, 4, 6, dtype=torch.float64, requires_grad=True)
    direct = F.conv2d(F.interpolate(images, scale_factor=2), layer.weight, layer.bias, padding=1)
    quick = layer(images)
    torch.testing.assert_close(quick, direct, rtol=0, atol=1e-12)

    towards = torch.randn_like(direct)
    inputs = (images, layer.weight, layer.bias)
    for one, other in zip(
        torch.autograd.grad(quick, inputs, towards), torch.autograd.grad(direct, inputs, towards), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


def test_its_state_is_that_of_a_convolution() -> None:
    assert DoublingConv2d(3, 5).state_dict().keys() == torch.nn.Conv2d(3, 5, 3).state_dict().keys()


def test_channels_last_weights_give_channels_last_images() -> None:
    torch.manual_seed(0)
    layer, images = DoublingConv2d(3, 5), torch.randn(2, 3, 4, 6)
    before = layer(images)
    after = layer.to(memory_format=torch.channels_last)(images)
    assert after.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(after, before)
