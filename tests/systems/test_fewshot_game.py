"""The few-shot game: what is reconstructed, by what distance, and that fakes never are."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.ranks_equal import noise_of_the_whole_batch
from ganrun.augmentations.augmentation import Augmentation
from ganrun.cli.composition import compose_plain
from ganrun.losses.adversarial import Hinge
from ganrun.networks.dcgan import DCGANDiscriminator
from ganrun.networks.fewshot import Encoded, FewShotDiscriminator, FewShotGenerator
from ganrun.networks.latents import Normal
from ganrun.systems.fewshot import FewShot

BATCH = {"image": torch.rand(4, 1, 16, 16, generator=torch.Generator().manual_seed(0))}


class Negative(Augmentation):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return -images


def make(discriminator: nn.Module | None = None, norm: str = "batch", **options) -> FewShot:
    torch.manual_seed(0)
    generator = FewShotGenerator(4, 1, 16, base_channels=1)
    discriminator = discriminator or FewShotDiscriminator(1, 16, base_channels=1, norm=norm, spectral=False)
    return FewShot(generator, discriminator, Normal(4), Hinge(), **options)


def reconstruction(system: FewShot, fakes=None) -> torch.Tensor:
    torch.manual_seed(1)
    return system.discriminator_turn(BATCH, fakes or system.fakes, 0).terms["reconstruction"]


@pytest.mark.parametrize(("distance", "expected"), [(None, 0.5), (nn.MSELoss(), 0.25)])
def test_a_perfect_decoder_costs_nothing_and_a_wrong_one_its_distance(distance: nn.Module | None, expected) -> None:
    system, images = make(reconstruction=distance), BATCH["image"]
    maps = Encoded(F.pixel_unshuffle(images, 2), F.pixel_unshuffle(images, 4))
    system.discriminator.decode_part, system.discriminator.decode_whole = nn.PixelShuffle(2), nn.PixelShuffle(4)
    assert system.distance(images, maps) == 0
    wrong = Encoded(maps.larger + 0.5, maps.last - 0.5)
    assert system.distance(images, wrong).item() == pytest.approx(expected, rel=1e-5)


def test_only_reals_are_reconstructed() -> None:
    system = make()
    assert "reconstruction" not in system.generator_turn(BATCH, system.fakes).terms
    black, white = (lambda batch, value=value: torch.full_like(batch["image"], value) for value in (-1.0, 1.0))
    assert reconstruction(copy.deepcopy(system), black) == reconstruction(copy.deepcopy(system), white)


def test_what_is_reconstructed_is_what_the_discriminator_sees() -> None:
    system = make(augmentation=Negative())
    wanted = []
    reconstructions = system.discriminator.reconstructions

    def watched(images, maps):
        wanted.append(images)
        return reconstructions(images, maps)

    system.discriminator.reconstructions = watched
    reconstruction(system)
    assert torch.equal(wanted[0], -BATCH["image"])


def test_the_term_has_its_weight_and_0_leaves_it_out() -> None:
    one, three, none = (make(reconstruction_weight=weight) for weight in (1, 3, 0))
    assert reconstruction(three).item() == pytest.approx(3 * reconstruction(one).item())
    assert none.discriminator_turn(BATCH, none.fakes, 0).terms.keys() == {"adversarial"}


def test_the_term_teaches_the_encoder_and_its_decoders_and_no_other() -> None:
    system = make()
    reconstruction(system).backward()
    for name, part in system.discriminator.named_children():
        learnt = any(weight.grad is not None and weight.grad.any() for weight in part.parameters())
        assert learnt == (name != "head"), name
    assert all(weight.grad is None for weight in system.generator.parameters())


def test_ranks_with_shares_of_a_batch_reconstruct_what_one_process_does() -> None:
    terms = []
    for rank, size in ((0, 1), (0, 2), (1, 2)):
        with noise_of_the_whole_batch(rank, size):
            system, images = make(norm="none"), BATCH["image"].double().chunk(size)[rank]
            terms.append(system.distance(images, system.discriminator.encode(images)).item())
    whole, first, second = terms
    assert (first + second) / 2 == pytest.approx(whole, rel=1e-12)
    assert first != second


def test_a_discriminator_that_reconstructs_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match=r"DCGANDiscriminator has no reconstructions"):
        make(DCGANDiscriminator(1, 16, base_channels=2))


def test_the_yaml_brings_the_papers_loss_and_batch_and_the_line_wins() -> None:
    config = compose_plain("train", ["model=fewshot"])
    assert (config["loss"]["_target_"].split(".")[-1], config["batch_size"]) == ("Hinge", 8)
    config = compose_plain("train", ["model=fewshot", "loss=wgan_gp", "batch_size=32"])
    assert (config["model"]["discriminator"]["norm"], config["batch_size"]) == ("none", 32)
