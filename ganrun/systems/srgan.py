"""SRGAN: super-resolution, trained on the content loss alone first, then also adversarially (Ledig et al., 2017)."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn

from ganrun.common.bounds import Natural, Weight
from ganrun.common.images import bicubic
from ganrun.common.plurals import plural
from ganrun.losses.loss import AdversarialLoss
from ganrun.losses.objective import Objective
from ganrun.systems.system import Batch, Turn
from ganrun.systems.translation import Translation, psnr


class SRGAN(Translation):
    """l_content + `adversarial_weight` · l_adversarial (equation 3; the weight is 10⁻³ in the paper).

    pretrain_steps: for this number of steps, only the generator moves and only l_content is minimised.
    content: a module (images, images) -> () distance, such as torch.nn.L1Loss or torch.nn.MSELoss.
    perceptual: a pretrained module (images, images) -> () distance, which stays frozen. After the pretraining,
    `perceptual_weight` times this distance is added (the VGG loss of the paper, equation 5). ganrun itself has no
    pretrained weights.
    The logs have "psnr_gain": the PSNR of the output minus that of bicubic interpolation, in decibels.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        loss: AdversarialLoss,
        content: nn.Module,
        pretrain_steps: Natural = 1000,
        adversarial_weight: Weight = 1e-3,
        perceptual: nn.Module | None = None,
        perceptual_weight: Weight = 1.0,
    ) -> None:
        super().__init__(generator, discriminator, loss, 0.0, adversarial_weight, conditional=False)
        self.content, self.pretrain_steps = content, pretrain_steps
        self.perceptual, self.perceptual_weight = perceptual, perceptual_weight
        if perceptual is not None:
            perceptual.requires_grad_(False)

    def remarks(self, steps: int | None) -> list[str]:
        if steps is not None and steps <= self.pretrain_steps:
            return [
                f"the whole run of {steps} {plural('step', steps)} is pretraining on the content loss "
                f"(model.pretrain_steps={self.pretrain_steps}): loss= has no effect"
            ]
        return super().remarks(steps)

    def turns(self, step: int) -> Iterator[Turn]:
        if step < self.pretrain_steps:
            yield Turn("generator", self.pretraining_turn, "pretraining")
        else:
            yield from super().turns(step)

    def pretraining_turn(self, batch: Batch) -> Objective:
        fake = self.fakes(batch)
        return Objective({"content": self.content(fake.float(), batch["target"])}, self.quality(fake.detach(), batch))

    def distances(self, fake: Tensor, target: Tensor) -> dict[str, Tensor]:
        terms = {"content": self.content(fake.float(), target)}
        if self.perceptual is not None:
            terms["perceptual"] = self.perceptual_weight * self.perceptual(fake, target)
        return terms

    def quality(self, fake: Tensor, batch: Batch) -> dict[str, Tensor]:
        found = super().quality(fake, batch)
        before = psnr(bicubic(batch["source"], batch["target"]), batch["target"])
        return {**found, "psnr_gain": found["psnr"] - before}
