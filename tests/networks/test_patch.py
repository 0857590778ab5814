"""PatchGAN: how large its patches are, and that it takes any size."""

import pytest
import torch
from torch import nn

from ganrun.networks.norms import NORMS
from ganrun.networks.patch import PatchDiscriminator


@pytest.mark.parametrize(
    ("size", "patch"), [(8, 16), (16, 16), (32, 16), (64, 16), (128, 34), ([128, 256], 34), (256, 70), (512, 70)]
)
def test_a_patch_is_70_pixels_from_256_on_and_smaller_below(size, patch):
    with torch.device("meta"):
        network = PatchDiscriminator(1, size)
    seen = 1
    for convolution in reversed([module for module in network.layers if isinstance(module, nn.Conv2d)]):
        seen = (seen - 1) * convolution.stride[0] + convolution.kernel_size[0]
    assert seen == patch


def test_a_logit_depends_on_its_patch_alone():
    network = PatchDiscriminator(1, 64, 4, norm="none").double()
    images = torch.randn(1, 1, 64, 64, dtype=torch.double, requires_grad=True)
    logits = network(images)
    (gradient,) = torch.autograd.grad(logits[0, 0, 15, 15], images)
    rows = gradient[0, 0].any(1).nonzero().flatten()
    assert rows.max() - rows.min() + 1 == 16


def test_channels_are_the_papers_at_256():
    with torch.device("meta"):
        network = PatchDiscriminator(3, 256, condition_channels=3)
        logits = network(torch.zeros(1, 6, 256, 256, device="meta"))
    convolutions = [module for module in network.layers if isinstance(module, nn.Conv2d)]
    assert [c.in_channels for c in convolutions] == [6, 64, 128, 256, 512]
    assert [c.stride[0] for c in convolutions] == [2, 2, 2, 1, 1]
    assert logits.shape == (1, 1, 30, 30)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("size", [(8, 8), (16, 16), (17, 30)])
def test_every_norm_takes_small_and_odd_sizes(norm, size):
    logits = PatchDiscriminator(1, size, 4, norm)(torch.randn(2, 1, *size))
    assert len(logits) == 2
    assert logits.isfinite().all()


def test_a_side_below_eight_is_refused():
    with pytest.raises(ValueError, match="at least 8"):
        PatchDiscriminator(1, [7, 64])
