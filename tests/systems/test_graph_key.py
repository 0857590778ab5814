"""Which steps may share a CUDA graph: equal keys are equal operations, and who does not say shares none."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from ganrun.losses.adversarial import Hinge, NonSaturating
from ganrun.losses.discriminate import Discriminate
from ganrun.losses.loss import AdversarialLoss
from ganrun.losses.objective import Objective
from ganrun.losses.penalties import R1, R2
from ganrun.networks.latents import Normal
from ganrun.networks.mlp import MLPDiscriminator, MLPGenerator
from ganrun.systems.acgan import ACGAN
from ganrun.systems.gan import GAN, Fakes
from ganrun.systems.gman import GMAN
from ganrun.systems.system import Batch, System, Turn


def make(cls: type[GAN] = GAN, loss: AdversarialLoss | None = None, **settings) -> GAN:
    return cls(MLPGenerator(4, 1, 8), MLPDiscriminator(1, 8), Normal(4), loss or NonSaturating(), **settings)


def test_equal_keys_are_steps_with_the_same_turns_and_penalties() -> None:
    system = make(loss=Hinge({"r1": R1(1.0, every=3), "r2": R2(1.0, every=2)}, discriminator_steps=2))
    keys = [system.graph_key(step) for step in range(12)]
    assert keys[:6] == keys[6:]
    assert len({str(key) for key in keys}) == 4, "with r1 or not; with r2, or with the generator instead"
    assert None not in keys


def test_a_key_shows_every_loss_of_several() -> None:
    loss = Hinge({"r1": R1(1.0, every=3)})
    system = GMAN(MLPGenerator(4, 1, 8), {n: MLPDiscriminator(1, 8) for n in "ab"}, Normal(4), loss)
    keys = [system.graph_key(step) for step in range(6)]
    assert keys[0] == keys[3] != keys[1] == keys[2]


class Forgetful(GAN):
    """Its own turns, without keys."""

    def turns(self, step: int) -> Iterator[Turn]:
        yield Turn("generator", lambda batch: Objective({"step": torch.tensor(float(step))}))


class Changing(GAN):
    """Its turn depends on the step, and the turns are those of GAN, which cannot know that."""

    def discriminator_turn(self, batch: Batch, fakes: Fakes, step: int) -> Objective:
        objective = super().discriminator_turn(batch, fakes, step)
        if step % 2:
            objective.terms = {name: 2 * term for name, term in objective.terms.items()}
        return objective


class Saying(Changing):
    """The same, and it says so."""

    def turns(self, step: int) -> Iterator[Turn]:
        for turn in super().turns(step):
            yield turn._replace(key=(turn.key, step % 2))


class ChangingLoss(NonSaturating):
    def discriminator_objective(
        self, discriminate: Discriminate, real: Tensor, fake: Tensor, step: int = 0
    ) -> Objective:
        return super().discriminator_objective(discriminate, real, fake, step % 2)


class SayingLoss(ChangingLoss):
    def graph_key(self, step: int) -> int:
        return step % 2


def test_a_system_that_forgets_its_keys_shares_no_graph() -> None:
    assert make(Forgetful).graph_key(0) is None
    assert make(Changing).graph_key(0) is None
    assert make(loss=ChangingLoss()).graph_key(0) is None


def test_one_that_says_what_it_depends_on_shares_them() -> None:
    for system in (make(Saying), make(loss=SayingLoss())):
        assert system.graph_key(0) == system.graph_key(2) != system.graph_key(1)
    assert make(ACGAN, classes=3).graph_key(0) == make(ACGAN, classes=3).graph_key(1) is not None


class AsBefore(GAN):
    """A subclass as users wrote them for earlier versions."""

    def drawn_with(self) -> nn.Module:
        return nn.ModuleDict({"generator": super().drawn_with()})

    def kind(self, step: int) -> object:
        return "first" if step < 10 else super().kind(step)

    def score(self, batch: Batch) -> Discriminate:
        inner = super().score(batch)
        return lambda images: 2 * inner(images)


def test_a_system_with_the_earlier_names_plays_as_before() -> None:
    system, plain = make(AsBefore), make()
    assert list(system.ema_module().children()) == [system.generator]
    assert (system.graph_key(0), system.graph_key(10)) == ("first", plain.graph_key(10))
    images = torch.rand(3, 1, 8, 8)
    assert torch.equal(system.discriminator_for({})(images), 2 * system.discriminator(images))
    assert plain.drawn_with() is plain.ema_module() is plain.generator
    assert plain.kind(0) == plain.graph_key(0)


class Bare(System):
    """Not even `turns`."""


def test_a_bare_system_has_no_module_under_either_name() -> None:
    for name in ("ema_module", "drawn_with"):
        try:
            getattr(Bare(), name)()
        except NotImplementedError:
            continue
        raise AssertionError(name)
