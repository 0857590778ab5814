"""Paired image-to-image translation: an adversarial loss and the distance to the target image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganrun.common.bounds import Weight
from ganrun.losses.discriminate import Discriminate
from ganrun.losses.loss import AdversarialLoss
from ganrun.losses.objective import Objective
from ganrun.systems.gan import Fakes, never_moving, once, refuse_batchnorm
from ganrun.systems.packing import logit_of_each
from ganrun.systems.system import ALWAYS, Batch, System, Turn

Compared = tuple[Tensor, Tensor, Tensor]  # sources, translations, targets: (N, C, H, W) in [-1, 1] each


class PictureToPicture(System):
    """Base class of image-to-image translation: the inputs are images of any size, not noise."""

    takes_pictures, panel_count = True, 3
    for_the_wild: ClassVar[bool] = False  # made for photographs whose damage nobody knows

    def draw(self, count: int, labels: Sequence[int] | None = None) -> Batch:
        raise ValueError("this model translates pictures and cannot draw from noise: give it pictures to work on")

    def translate(self, images: Tensor, direction: str | None = None) -> Tensor:
        """(N, C, h, w) images in [-1, 1] of any size -> (N, C, H, W) their translations.

        The caller chooses eval mode and no gradients. Raises ValueError for an unknown direction.
        """
        raise NotImplementedError

    def compared(self, examples: Batch) -> list[Compared]:
        """Examples -> for each direction (sources, their translations, pictures that these should be like).

        The watchdog compares their mean colours. Sources and targets need not be pairs. []: nothing to compare.
        The caller chooses eval mode and no gradients.
        """
        return []


class Translation(PictureToPicture):
    """The players move as in `GAN`. The fakes are G(source), the reals are the targets.

    l1_weight: the weight of |target − G(source)|, a further term of the generator.
    adversarial_weight: the weight of the generator's adversarial loss.
    conditional: the discriminator also gets the source, enlarged to the target's size and concatenated along the
    channels. Gradient penalties differentiate only by the real or fake image, not by the source.
    Raises ValueError when a penalty of the loss cannot be used with BatchNorm in the discriminator.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        loss: AdversarialLoss,
        l1_weight: Weight,
        adversarial_weight: Weight = 1.0,
        conditional: bool = True,
    ) -> None:
        super().__init__()
        refuse_batchnorm(discriminator, loss)
        self.generator, self.discriminator, self.loss = generator, discriminator, loss
        self.l1_weight, self.adversarial_weight, self.conditional = l1_weight, adversarial_weight, conditional

    def players(self) -> dict[str, nn.Module]:
        return {"discriminator": self.discriminator, "generator": self.generator}

    def remarks(self, steps: int | None) -> list[str]:
        unused = [
            "model.adversarial_weight=0: the generator has no adversarial term, so loss= does not change its pictures"
        ]
        return [*never_moving(self.loss.discriminator_steps, steps), *(unused if not self.adversarial_weight else [])]

    def turns(self, step: int) -> Iterator[Turn]:
        generator_moves = (step + 1) % self.loss.discriminator_steps == 0
        fakes = once(self.fakes) if generator_moves else torch.no_grad()(self.fakes)
        yield Turn("discriminator", partial(self.discriminator_turn, fakes=fakes, step=step), self.loss.graph_key(step))
        if generator_moves:
            yield Turn("generator", partial(self.generator_turn, fakes=fakes), ALWAYS)

    def differentiated_once(self) -> dict[str, nn.Module]:
        return self.players() if not self.loss.refuses_coupling else {"generator": self.generator}

    def discriminator_turn(self, batch: Batch, fakes: Fakes, step: int) -> Objective:
        fake = fakes(batch).detach()
        return self.loss.discriminator_objective(self.discriminator_for(batch), batch["target"], fake, step)

    def generator_turn(self, batch: Batch, fakes: Fakes) -> Objective:
        fake = fakes(batch)
        objective = self.loss.generator_objective(self.discriminator_for(batch), fake, batch["target"])
        objective.terms = {name: self.adversarial_weight * term for name, term in objective.terms.items()}
        objective.terms |= self.distances(fake, batch["target"])
        objective.monitors |= self.quality(fake.detach(), batch)
        return objective

    def after_turn(self, player: str) -> None:
        if player == "discriminator":
            self.loss.constrain(self.discriminator)

    def distances(self, fake: Tensor, target: Tensor) -> dict[str, Tensor]:
        """{name: () term} of the generator besides the adversarial loss: distances to the target."""
        return {"l1": self.l1_weight * F.l1_loss(fake.float(), target)}

    def quality(self, fake: Tensor, batch: Batch) -> dict[str, Tensor]:
        """{name: () value} for the logs: how close the outputs are to the targets."""
        return {"psnr": psnr(fake, batch["target"])}

    def discriminator_for(self, batch: Batch) -> Discriminate:
        """The discriminator as the loss calls it; a conditional one already has the batch's sources."""
        return Beside(self.discriminator, batch["source"]) if self.conditional else self.discriminator

    def fakes(self, batch: Batch) -> Tensor:
        """(N, C, H, W) translations of the batch's sources. Raises ValueError for data without pairs."""
        return self.generator(take(batch, "source", "target")["source"])

    def ema_module(self) -> nn.Module:
        return self.generator

    def examples(self, batch: Batch, count: int) -> Batch:
        return {name: images[:count] for name, images in take(batch, "source", "target").items()}

    def render(self, examples: Batch) -> Tensor:
        return self.generator(examples["source"])

    def compared(self, examples: Batch) -> list[Compared]:
        return [(examples["source"], self.render(examples), examples["target"])]

    def panels(self, examples: Batch) -> dict[str, Tensor]:
        """Three batches: the sources, enlarged to the targets' size, their translations, and the targets."""
        target = examples["target"]
        return {"input": enlarged(examples["source"], target), "output": self.render(examples), "target": target}

    def verdicts(self, images: Tensor, examples: Batch) -> Tensor:
        return logit_of_each(self.discriminator, images, examples, self.discriminator_for)

    def translate(self, images: Tensor, direction: str | None = None) -> Tensor:
        if direction is not None:
            raise ValueError(f"direction={direction}: this model translates only from source to target")
        return self.generator(images)


class Beside:
    """A conditional discriminator as a loss calls it: a function of images alone, images -> D(source, images)."""

    def __init__(self, discriminator: nn.Module, source: Tensor) -> None:
        self.discriminator, self.source = discriminator, source

    def __call__(self, images: Tensor) -> Tensor:
        """(N, C, H, W) images -> (N,) logits, or (N, 1, h, w) a map of logits."""
        return self.discriminator(torch.cat([enlarged(self.source, images), images], dim=1))


def take(batch: Batch, *names: str) -> Batch:
    """The named entries of a batch. Raises ValueError when one is missing: the data set is of another kind."""
    if missing := [name for name in names if name not in batch]:
        given, use = ", ".join(batch), "unpaired" if "a" in names else "damaged or dataset=paired"
        raise ValueError(f"this model needs {' and '.join(missing)}, but the data give {given}: use dataset={use}")
    return {name: batch[name] for name in names}


def enlarged(images: Tensor, like: Tensor) -> Tensor:
    """(N, C, h, w) -> (N, C, H, W), enlarged to the size of `like` with nearest-neighbour interpolation."""
    same = images.shape[2:] == like.shape[2:]
    return images if same else F.interpolate(images, size=like.shape[2:], mode="nearest")


def psnr(images: Tensor, targets: Tensor) -> Tensor:
    """Twice (N, C, H, W) in [-1, 1] -> () decibels, the mean of 10 log10(2² / mse) over the images.

    mse is at least 1e-10, so that equal images have a finite PSNR (106 dB).
    """
    mse = (images.float().clamp(-1, 1) - targets).square().flatten(1).mean(1).clamp_min(1e-10)
    return (10 * torch.log10(4 / mse)).mean()
