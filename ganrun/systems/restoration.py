"""Restoration: the generator restores damaged images; the clean images are its targets."""

from __future__ import annotations

from torch import Tensor, nn

from ganrun.common.bounds import Weight
from ganrun.common.images import bicubic
from ganrun.losses.loss import AdversarialLoss
from ganrun.systems.system import Batch
from ganrun.systems.translation import Translation, psnr


class Restoration(Translation):
    """min_G max_D  w (E log D(x) + E log(1 − D(G(x_bad)))) + λ E |x − G(x_bad)|, or with another adversarial loss.

    x_bad is the damaged image of x. l1_weight: λ. adversarial_weight: w.
    conditional: the discriminator also gets the damaged image; otherwise it gets only the clean or restored image.
    The logs have "psnr_gain": the PSNR of the restored image minus that of the damaged image, in decibels.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        loss: AdversarialLoss,
        l1_weight: Weight = 100.0,
        adversarial_weight: Weight = 1.0,
        conditional: bool = False,
    ) -> None:
        super().__init__(generator, discriminator, loss, l1_weight, adversarial_weight, conditional)

    def quality(self, fake: Tensor, batch: Batch) -> dict[str, Tensor]:
        found = super().quality(fake, batch)
        before = psnr(bicubic(batch["source"], batch["target"]), batch["target"])
        return {**found, "psnr_gain": found["psnr"] - before}
