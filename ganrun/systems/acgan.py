"""AC-GAN: a discriminator that also classifies reals and fakes (Odena et al., 2017)."""

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
from ganrun.systems.packing import pack_of
from ganrun.systems.system import Batch


class ACGAN(GAN):
    """The generator gets the class. The discriminator does not: it returns (N, 1 + classes), a logit and class logits.

    Both players minimise `class_weight` times the cross-entropy of the class, besides the adversarial loss (equations 2
    and 3: L_S and L_C). The paper's weight is 1; on MNIST each class then had one picture, and 0.1 keeps variety. The
    paper's discriminator also learns classes from fakes: that is `fake_class_weight`. It is 0 here, because the
    discriminator may then tell a fake's class by the generator's artefacts instead of its shape.
    Raises ValueError for a discriminator that judges packs of images.
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
        if (pack := pack_of(discriminator)) > 1:
            raise ValueError(
                f"discriminator.pack={pack}, but AC-GAN names the class of each image: use model.discriminator.pack=1, "
                "or model=cgan model.discriminator.network.pack=..."
            )
        self.class_weight, self.fake_class_weight = class_weight, fake_class_weight

    turns = GAN.turns  # the turns below depend on the step as those of GAN do

    def discriminator_turn(self, batch: Batch, fakes: Fakes, step: int) -> Objective:
        heads = Heads(self.discriminator)
        objective = self.loss.discriminator_objective(
            self.augmented(heads), batch["image"], fakes(batch).detach(), step
        )
        real, fake = heads.classes[:2]  # a loss calls the discriminator with reals first, then fakes
        objective.terms["class"] = self.class_weight * cross_entropy(real, batch)
        if self.fake_class_weight:
            objective.terms["fake_class"] = self.fake_class_weight * cross_entropy(fake, batch)
        objective.monitors["class_accuracy"] = (real.argmax(1) == batch["label"]).float().mean()
        return objective

    def generator_turn(self, batch: Batch, fakes: Fakes) -> Objective:
        heads = Heads(self.discriminator)
        images = fakes(batch)
        objective = self.loss.generator_objective(self.augmented(heads), images, batch["image"])
        fake = heads.classes[-1]  # the last call: a relativistic loss calls with reals first
        objective.terms["class"] = self.class_weight * cross_entropy(fake, batch)
        objective.terms |= self.matching(batch, images)
        objective.monitors["class_accuracy"] = (fake.argmax(1) == batch["label"]).float().mean()
        return objective

    def judge(self, batch: Batch) -> Discriminate:
        return Heads(self.discriminator)

    def with_labels(self, call: Callable[..., Tensor], batch: Batch) -> Discriminate:
        return call  # it must find the class itself


class Heads:
    """The discriminator as a loss calls it: images to (N,) logits. It keeps the class logits of each call."""

    def __init__(self, discriminator: nn.Module) -> None:
        self.discriminator = discriminator
        self.classes: list[Tensor] = []

    def __call__(self, images: Tensor) -> Tensor:
        """(N, C, H, W) -> (N,)"""
        outputs = self.discriminator(images)
        self.classes.append(outputs[:, 1:])
        return outputs[:, 0]


def cross_entropy(logits: Tensor, batch: Batch) -> Tensor:
    return F.cross_entropy(logits.float(), batch["label"])
