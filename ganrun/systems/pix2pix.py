"""pix2pix: paired image-to-image translation with a conditional discriminator (Isola et al., 2017)."""

from __future__ import annotations

from torch import nn

from ganrun.common.bounds import Weight
from ganrun.losses.loss import AdversarialLoss
from ganrun.systems.translation import Translation


class Pix2Pix(Translation):
    """G* = arg min_G max_D L_cGAN(G, D) + λ L_L1(G) (equation 4).

    l1_weight: λ, 100 in the paper. `loss`, which may be any adversarial loss, is the first term. The discriminator gets
    source and target concatenated along the channels.
    """

    def __init__(
        self, generator: nn.Module, discriminator: nn.Module, loss: AdversarialLoss, l1_weight: Weight = 100.0
    ) -> None:
        super().__init__(generator, discriminator, loss, l1_weight)
