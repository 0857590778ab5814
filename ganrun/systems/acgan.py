"""AC-GAN: a class-conditional GAN whose discriminator also classifies the images (Odena et al., 2017)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Unpack

import torch.nn.functional as F
from torch import Tensor, nn

from ganrun.common.bounds import Weight, Whole
from ganrun.losses.discriminate import Discriminate
from ganrun.losses.loss import AdversarialLoss
from ganrun.losses.objective import Objective
from ganrun.systems.gan import GAN, Fakes, GANOptions
from ganrun.systems.system import Batch


class ACGAN(GAN):
    """The generator gets the class as input. The discriminator does not: it predicts the class.

    The discriminator returns (N, 1 + classes): the logit of being real, then the class logits. Both players minimise
    the adversarial loss plus `class_weight` times the cross-entropy of the class (L_S and L_C, equations 2 and 3).
    class_weight: 1 in the paper. With 1, the generator drew one picture for each class of MNIST; 0.1 keeps variety.
    fake_class_weight: the weight of the cross-entropy of fakes in the discriminator's objective, 1 in the paper. It is
    0 here, because the discriminator may otherwise recognise the class of a fake by artefacts instead of its shape.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        latent: nn.Module,
        loss: AdversarialLoss,
        classes: Whole,
        class_weight: Weight = 0.1,
        fake_class_weight: Weight = 0.0,
        **options: Unpack[GANOptions],
    ) -> None:
        super().__init__(generator, discriminator, latent, loss, classes=classes, **options)
        self.class_weight, self.fake_class_weight = class_weight, fake_class_weight

    # The turns below use `step` as GAN's turns do, so GAN's graph keys are right for them. Without this line,
    # `System.graph_key` would return None: see there.
    turns = GAN.turns

    def discriminator_turn(self, batch: Batch, fakes: Fakes, step: int) -> Objective:
        heads = Heads(self.discriminator)
        objective = self.observed(
            self.loss.discriminator_objective(self.augmented(heads), batch["image"], fakes(batch).detach(), step)
        )
        real, fake = heads.classes[:2]  # a loss calls the discriminator with the reals first, then with the fakes
        objective.terms["class"] = self.class_weight * cross_entropy(real, batch)
        if self.fake_class_weight:
            objective.terms["fake_class"] = self.fake_class_weight * cross_entropy(fake, batch)
        objective.monitors["class_accuracy"] = (real.argmax(1) == batch["label"]).float().mean()
        return objective

    def generator_turn(self, batch: Batch, fakes: Fakes) -> Objective:
        heads = Heads(self.discriminator)
        images = fakes(batch)
        objective = self.loss.generator_objective(self.augmented(heads), images, batch["image"])
        fake = heads.classes[-1]  # the last call: a relativistic loss calls the discriminator with the reals first
        objective.terms["class"] = self.class_weight * cross_entropy(fake, batch)
        objective.terms |= self.matching(batch, images)
        objective.monitors["class_accuracy"] = (fake.argmax(1) == batch["label"]).float().mean()
        return objective

    def judge(self, batch: Batch) -> Discriminate:
        return Heads(self.discriminator)

    def with_labels(self, call: Callable[..., Tensor], batch: Batch) -> Discriminate:
        return call  # the discriminator does not get the labels: it predicts them


class Heads:
    """The discriminator as a loss calls it. `classes` collects the (N, K) class logits of each call."""

    def __init__(self, discriminator: nn.Module) -> None:
        self.discriminator = discriminator
        self.classes: list[Tensor] = []

    def __call__(self, images: Tensor) -> Tensor:
        """(N, C, H, W) images -> (N,) logits."""
        outputs = self.discriminator(images)
        self.classes.append(outputs[:, 1:])
        return outputs[:, 0]


def cross_entropy(logits: Tensor, batch: Batch) -> Tensor:
    """(N, K) class logits -> () the mean cross-entropy with the labels of the batch."""
    return F.cross_entropy(logits.float(), batch["label"])
