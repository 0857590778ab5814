"""Relativistic losses, which compare the logits of reals with those of fakes (Jolicoeur-Martineau, 2018)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ganrun.losses.discriminate import Discriminate
from ganrun.losses.loss import AdversarialLoss
from ganrun.losses.objective import Objective


class Relativistic(AdversarialLoss):
    """The generator minimises the discriminator's formula with reals and fakes exchanged, so it needs both logits."""

    def generator_objective(self, discriminate: Discriminate, fake: Tensor, real: Tensor) -> Objective:
        with torch.no_grad():  # the reals' logits do not depend on the generator
            real_logits = discriminate(real).float()
        return Objective({"adversarial": self.discriminator(real=discriminate(fake).float(), fake=real_logits)})

    def boundary(self, real: Tensor, fake: Tensor) -> Tensor:
        return (real.mean() + fake.mean()) / 2  # the loss ignores a constant added to D, so 0 is no boundary


class RelativisticLogistic(Relativistic):
    """RpGAN. D: −E log σ(D(x) − D(G(z))); G: −E log σ(D(G(z)) − D(x))."""

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return F.softplus(-(real - fake)).mean()


class RelativisticAverage(Relativistic):
    """RaGAN. D: −E log σ(D(x) − E D(G(z))) − E log(1 − σ(D(G(z)) − E D(x))); G: reals and fakes exchanged."""

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return F.softplus(-(real - fake.mean())).mean() + F.softplus(fake - real.mean()).mean()
