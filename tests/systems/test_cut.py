"""CUT: one generator, and patches of its output that must belong to the patches of its input."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from ganrun.losses.adversarial import LeastSquares, Wasserstein
from ganrun.losses.relativistic import RelativisticLogistic
from ganrun.networks.patch import PatchDiscriminator
from ganrun.networks.patch_nce import PatchHeads
from ganrun.networks.resnet import ResNetTranslator
from ganrun.systems.cut import CUT, patches_at, some_places
from tests.systems.pictures import Times, Weigh, flat

BATCH = {"a": flat(0.5, -0.1), "b": flat(0.2, 0.4)}


class Seeing(Times):
    """A translator of one weight whose only feature is the picture itself."""

    feature_channels = (1,)

    def forward(self, images: Tensor, encoded: bool = False) -> Tensor | tuple[Tensor, list[Tensor]]:
        drawn = super().forward(images)
        return (drawn, self.features(images)) if encoded else drawn

    def features(self, images: Tensor) -> list[Tensor]:
        return [images]


class Axes(PatchHeads):
    """A pixel 1 becomes (1, 0), a pixel −1 becomes (0, 1)."""

    def forward(self, patches: list[Tensor]) -> list[Tensor]:
        return [
            torch.cat([part > 0, part < 0], dim=2).float() * self.heads[0][0].weight.mean() ** 0 for part in patches
        ]


def make(weight: float = 1.0, loss=None, heads=None, **settings) -> CUT:
    return CUT(Seeing(weight), Weigh(2.0), heads or PatchHeads(4), loss or LeastSquares(), **settings)


def objectives(system: CUT, batch=BATCH, step: int = 0):
    return {turn.player: turn.objective(batch) for turn in system.turns(step)}


def halves() -> Tensor:
    """(1, 1, 2, 2): one bright and three dark pixels."""
    return torch.tensor([[1.0, -1.0], [-1.0, -1.0]])[None, None]


def test_a_translator_pays_for_patches_that_change_places() -> None:
    """The bright patch costs log(1 + 3 e^{−1}); each dark one has two others like it: log(3 + e^{−1})."""
    batch = {"a": halves(), "b": halves()}
    kept = (math.log(1 + 3 * math.exp(-1)) + 3 * math.log(3 + math.exp(-1))) / 4
    terms = objectives(make(heads=Axes(1), temperature=1.0, nce_weight=3, identity_weight=2), batch)["generator"].terms
    assert terms["nce"].item() == pytest.approx(3 * kept)
    assert terms["identity_nce"].item() == pytest.approx(2 * kept)
    # inverted, each patch looks like what its input is not: the bright one like the three dark ones of the input
    swapped = (math.log(1 + 3 * math.e) + 3 * math.log(3 + math.e)) / 4
    terms = objectives(make(-1.0, heads=Axes(1), temperature=1.0), batch)["generator"].terms
    assert terms["nce"].item() == pytest.approx(swapped)


def test_the_discriminator_judges_translations_of_a_beside_pictures_of_b() -> None:
    found = objectives(make(3.0, adversarial_weight=2))
    assert found["discriminator"].monitors["fake_logit"].item() == pytest.approx(2 * 3 * 0.2)
    assert found["discriminator"].monitors["real_logit"].item() == pytest.approx(2 * 0.3)
    by_hand = ((2 * 1.5 - 1) ** 2 + (2 * -0.3 - 1) ** 2) / 2 / 2
    assert found["generator"].terms["adversarial"].item() == pytest.approx(2 * by_hand)


def test_what_has_no_weight_costs_no_pass() -> None:
    system = make(identity_weight=0.0, nce_weight=0.0)
    passes = []
    system.generator.register_forward_hook(lambda *_: passes.append(1))
    assert objectives(system)["generator"].terms.keys() == {"adversarial"}
    assert len(passes) == 1, "the fakes of both players"


def test_the_generator_and_its_heads_are_one_player() -> None:
    system = make()
    assert set(system.players()["generator"].parameters()) == {
        *system.generator.parameters(),
        *system.heads.parameters(),
    }
    assert system.ema_module() is system.generator
    objectives(system)["generator"].total.backward()
    assert all(weight.grad is not None for weight in system.heads.parameters())


def test_the_heads_are_there_before_the_first_picture() -> None:
    network = ResNetTranslator(3, 16, 4, blocks=3)
    assert [layer.shape[1] for layer in network.features(torch.rand(1, 3, 16, 16))] == network.feature_channels
    assert network.feature_channels == [3, 8, 8, 8], "the pixels, the halving, the first and the middle block"
    system = CUT(network, Weigh(1.0), PatchHeads(5), LeastSquares())
    assert [head[0].in_features for head in system.heads.heads] == network.feature_channels


def test_features_of_a_pass_are_those_of_the_first_half_alone() -> None:
    network, images = ResNetTranslator(3, 16, 4, blocks=2), torch.rand(2, 3, 16, 16)
    drawn, features = network(images, encoded=True)
    assert torch.equal(drawn, network(images))
    assert all(map(torch.equal, features, network.features(images)))


def test_places_are_all_different_and_follow_from_the_seed() -> None:
    features = torch.arange(2 * 36.0).view(2, 1, 6, 6)
    torch.manual_seed(1)
    places = some_places(features, 10)
    torch.manual_seed(1)
    assert torch.equal(places, some_places(features, 10))
    assert all(len(set(row.tolist())) == 10 for row in places)
    assert places[0].tolist() != places[1].tolist()
    assert some_places(features, 100).sort().values.tolist() == [list(range(36))] * 2
    assert torch.equal(patches_at(features, places)[1, :, 0], 36.0 + places[1])


@pytest.mark.parametrize("size", [(16, 16), (17, 15)])
def test_the_mirror_images_patches_meet_the_patches_at_their_own_places(size) -> None:
    """A generator that changes nothing: what is mirrored back is the picture, also beside the padding of odd sides."""

    class Same(ResNetTranslator):
        def forward(self, images: Tensor, encoded: bool = False) -> Tensor:
            return images

    system = CUT(Same(1, 16, 4, blocks=1), Weigh(1.0), PatchHeads(4), LeastSquares(), flip_equivariance=True)
    torch.manual_seed(0)
    made = system.fakes({"a": torch.rand(8, 1, *size), "b": torch.rand(8, 1, *size)})
    assert made.mirrored is not None
    assert set(made.mirrored.tolist()) == {True, False}
    back = torch.where(made.mirrored[:, None, None, None], made.fake.flip(3), made.fake)
    assert torch.equal(back, made.features[0])


@pytest.mark.parametrize("loss", [LeastSquares(), RelativisticLogistic()])
@pytest.mark.parametrize("flips", [False, True])
def test_pictures_that_are_not_square_are_trained_on(flips: bool, loss) -> None:
    size = [17, 30]
    network, judge = ResNetTranslator(3, size, 4, blocks=1), PatchDiscriminator(3, size, 4, norm="instance")
    system = CUT(network, judge, PatchHeads(4), loss, patches=8, flip_equivariance=flips)
    batch = {name: torch.rand(2, 3, *size) for name in "ab"}
    assert all(objective.total.isfinite() for objective in objectives(system, batch).values())
    assert system.translate(torch.rand(1, 3, 50, 9)).shape == (1, 3, 50, 9)


def test_clipping_reaches_the_discriminator_alone() -> None:
    system = make(loss=Wasserstein(clip=0.01, discriminator_steps=5))
    assert [turn.player for turn in system.turns(0)] == ["discriminator"]
    system.after_turn("discriminator")
    assert [weight.item() for weight in system.discriminator.parameters()] == pytest.approx([0.01])
    assert system.generator.weight.item() == 1


def test_a_grid_shows_a_its_translation_b_and_what_becomes_of_b() -> None:
    system = make(2.0)
    panels = system.panels(system.examples(BATCH, 1))
    assert [panel.mean().item() for panel in panels.values()] == pytest.approx([0.5, 1.0, 0.2, 0.4])


def test_there_is_one_direction() -> None:
    assert make(2.0).translate(flat(0.1), "ab").mean().item() == pytest.approx(0.2)
    with pytest.raises(ValueError, match="direction=ba: this model translates only from a to b"):
        make().translate(flat(0.1), "ba")


def test_a_generator_without_features_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"generator: Times has no features\(images\)"):
        CUT(Times(), Weigh(1.0), PatchHeads(4), LeastSquares())
    with pytest.raises(ValueError, match="needs a and b, but the data give image: use dataset=unpaired"):
        make().examples({"image": flat(1.0)}, 1)
