"""Packing: m images of a batch are judged together, and everything that counts logits knows it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ganrun.losses.adversarial import Hinge
from ganrun.losses.penalties import R1, Dragan, GradientPenalty
from ganrun.networks.biggan import BigGANDiscriminator
from ganrun.networks.dcgan import DCGANDiscriminator
from ganrun.networks.mlp import DeepMLPDiscriminator, MLPDiscriminator
from ganrun.networks.pacgan import MaxoutDiscriminator
from ganrun.networks.packing import packed
from ganrun.networks.r3gan import R3GANDiscriminator
from ganrun.networks.resnet_gan import ResNetDiscriminator
from ganrun.networks.stylegan2 import StyleGAN2Discriminator
from ganrun.systems.packing import logit_of_each, pack_of

W = torch.tensor([1.0, 2.0, 2.0, 4.0])  # of a pack of two images of two pixels; |w| = 5


class LinearOfTwo(nn.Module):
    """D(x1, x2) = w · (x1, x2)."""

    pack: int

    def __init__(self) -> None:
        super().__init__()
        self.pack = 2

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return packed(images, 2).flatten(1) @ W


def images(count: int) -> torch.Tensor:
    return torch.randn(count, 1, 1, 2, generator=torch.Generator().manual_seed(0))


def test_neighbours_become_the_channels_of_one_pack() -> None:
    batch = torch.arange(12.0).view(6, 2, 1, 1)
    assert packed(batch, 3).flatten(1).tolist() == [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]]
    assert packed(batch, 1) is batch
    with pytest.raises(ValueError, match="pack=4 does not divide the 6 images"):
        packed(batch, 4)


NETWORKS = {
    "dcgan": lambda **kw: DCGANDiscriminator(3, 8, 2, norm="none", **kw),
    "mlp": lambda **kw: MLPDiscriminator(3, 8, [4], **kw),
    "deep_mlp": lambda **kw: DeepMLPDiscriminator(3, 8, [4], **kw),
    "maxout": lambda **kw: MaxoutDiscriminator(3, 8, [4], **kw),
    "resnet": lambda **kw: ResNetDiscriminator(3, 8, 2, norm="none", **kw),
    "biggan": lambda **kw: BigGANDiscriminator(3, 8, 2, norm="none", **kw),
    "stylegan2": lambda **kw: StyleGAN2Discriminator(3, 8, 2, minibatch="none", **kw),
    "r3gan": lambda **kw: R3GANDiscriminator(3, 8, 2, **kw),
}
CONDITIONAL = ("resnet", "biggan", "stylegan2", "r3gan")


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_a_packed_discriminator_gives_one_logit_a_pack(network) -> None:
    torch.manual_seed(0)
    one = network(pack=2)
    pictures = torch.randn(6, 3, 8, 8)
    logits = one(pictures)
    assert logits.shape == (3,)
    assert len(one.features(pictures)) == 3
    assert (pack_of(one), pack_of(nn.ModuleList([one, network(pack=3)])), pack_of(network())) == (2, 6, 1)
    changed = pictures.clone()
    changed[1] += 1  # the second image of the first pack
    assert (one(changed) != logits).tolist() == [True, False, False]
    assert one.couples_images
    assert not network().couples_images
    with pytest.raises(ValueError, match="pack=0 must be at least 1"):
        network(pack=0)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_pack_of_one_image_twice_is_judged_as_the_image_is_by_the_sum_of_the_pixels_weights(name: str) -> None:
    """W (x, x) = (W₁ + W₂) x in each layer that sees pixels; an equalized layer divides by √2 for twice the inputs."""
    torch.manual_seed(0)
    one, two = NETWORKS[name](), NETWORKS[name](pack=2)
    weights, scale = two.state_dict(), 2**-0.5 if name == "stylegan2" else 1
    sees_pixels = [key for key, weight in one.state_dict().items() if weight.shape != weights[key].shape]
    weights |= {key: scale * weights[key].unflatten(1, (2, -1)).sum(1) for key in sees_pixels}
    one.load_state_dict(weights)
    pictures = torch.randn(3, 3, 8, 8)
    assert sees_pixels
    torch.testing.assert_close(two(pictures.repeat_interleave(2, 0)), one(pictures))


@pytest.mark.parametrize("name", CONDITIONAL)
def test_a_discriminator_that_is_told_the_class_judges_single_images(name: str) -> None:
    with pytest.raises(ValueError, match=r"^pack=2: .* but classes=3: use model.classes=0 or pack=1$"):
        NETWORKS[name](pack=2, classes=3)


def test_the_penalty_of_a_pack_is_that_of_its_whole_gradient() -> None:
    """|∇D| of the pair is |w| = 5; the two images alone would have √5 and √20."""
    real, fake, discriminate = images(6), images(6) + 1, LinearOfTwo()

    def term(penalty) -> float:
        return Hinge([penalty]).discriminator_objective(discriminate, real, fake).total.item() - Hinge().discriminator(
            discriminate(real), discriminate(fake)
        ).item()  # fmt: skip

    assert term(R1(gamma=3.0)) == pytest.approx(3 / 2 * 25, rel=1e-5)
    assert term(GradientPenalty(weight=10)) == pytest.approx(10 * (5 - 1) ** 2, rel=1e-5)
    assert term(Dragan(weight=10)) == pytest.approx(10 * (5 - 1) ** 2, rel=1e-5)


def test_the_images_of_a_pack_share_one_coefficient_of_the_gradient_penalty() -> None:
    seen: list[torch.Tensor] = []

    class Watched(LinearOfTwo):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            seen.append(images.detach())
            return super().forward(images)

    Hinge([GradientPenalty()]).discriminator_objective(Watched(), torch.ones(8, 1, 1, 2), torch.zeros(8, 1, 1, 2))
    between = seen[2][:, 0, 0, 0]  # after reals and fakes: 1 for a real
    assert torch.equal(between[0::2], between[1::2])
    assert len(between.unique()) == 4


def test_each_image_gets_the_verdict_of_its_pack_also_in_a_pack_that_is_not_full() -> None:
    pictures = images(5)
    verdicts = logit_of_each(LinearOfTwo(), pictures)
    full = LinearOfTwo()(torch.cat([pictures, pictures[:1]]))
    assert verdicts.tolist() == [full[0], full[0], full[1], full[1], full[2]]
