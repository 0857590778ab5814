"""pix2pix: a translator trained on pairs, a discriminator that sees both pictures of a pair (Isola et al., 2017)."""

from __future__ import annotations

from torch import nn

from ganrun.common.bounds import Weight
from ganrun.losses.loss import AdversarialLoss
from ganrun.systems.translation import Translation


class Pix2Pix(Translation):
    """G* = arg min_G max_D L_cGAN(G, D) + λ L_L1(G), λ = 100 (equation 4).

    Any adversarial loss stands for the first term. The discriminator takes the channels of source and target.
    """

    def __init__(
        self, generator: nn.Module, discriminator: nn.Module, loss: AdversarialLoss, l1_weight: Weight = 100.0
    ) -> None:
        super().__init__(generator, discriminator, loss, l1_weight)
