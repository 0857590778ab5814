"""Image-to-image translation: a generator, a discriminator, and the distance to the target picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

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


class PictureToPicture(System):
    """A system whose inputs are pictures of any size, not noise."""

    def draw(self, count: int, labels: Sequence[int] | None = None) -> Batch:
        raise ValueError("this model draws from pictures: it has no samples of its own, give it pictures to work on")

    def translate(self, images: Tensor, direction: str | None = None) -> Tensor:
        """(N, C, h, w) images in [-1, 1] of any size -> (N, C, H, W) their translations.

        The caller chooses eval mode and no gradients. Raises ValueError for an unknown direction.
        """
        raise NotImplementedError


class Translation(PictureToPicture):
    """Moves like `GAN`; the fakes are G(source), and the generator also pays `l1_weight` times |target − G(source)|.

    A `conditional` discriminator sees the source, enlarged to the target's size, beside the picture it judges.
    Penalties and their points between real and fake concern the judged picture alone.
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
        unplayed = ["model.adversarial_weight=0: the generator does not play, so loss= has no effect on what it draws"]
        return [*never_moving(self.loss.discriminator_steps, steps), *(unplayed if not self.adversarial_weight else [])]

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
        """The generator's terms besides the adversarial loss: distances to the target."""
        return {"l1": self.l1_weight * F.l1_loss(fake.float(), target)}

    def quality(self, fake: Tensor, batch: Batch) -> dict[str, Tensor]:
        """How near the outputs are to the targets, for the logs."""
        return {"psnr": psnr(fake, batch["target"])}

    def discriminator_for(self, batch: Batch) -> Discriminate:
        """The discriminator as the loss calls it; a conditional one sees the batch's sources too."""
        return Beside(self.discriminator, batch["source"]) if self.conditional else self.discriminator

    def fakes(self, batch: Batch) -> Tensor:
        """(N, C, H, W) the batch's sources translated. Raises ValueError for data without them."""
        return self.generator(take(batch, "source", "target")["source"])

    def ema_module(self) -> nn.Module:
        return self.generator

    def examples(self, batch: Batch, count: int) -> Batch:
        return {name: images[:count] for name, images in take(batch, "source", "target").items()}

    def render(self, examples: Batch) -> Tensor:
        return self.generator(examples["source"])

    def panels(self, examples: Batch) -> list[Tensor]:
        """The source, enlarged to the target's size; its translation; the target."""
        return [enlarged(examples["source"], examples["target"]), self.render(examples), examples["target"]]

    def verdicts(self, images: Tensor, examples: Batch) -> Tensor:
        return logit_of_each(self.discriminator, images, examples, self.discriminator_for)

    def translate(self, images: Tensor, direction: str | None = None) -> Tensor:
        if direction is not None:
            raise ValueError(f"direction={direction}: this model knows only the way from source to target")
        return self.generator(images)


class Beside:
    """A discriminator as a loss calls it, with the source bound: images -> D(source, images)."""

    def __init__(self, discriminator: nn.Module, source: Tensor) -> None:
        self.discriminator, self.source = discriminator, source

    def __call__(self, images: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, 1, h, w)"""
        return self.discriminator(torch.cat([enlarged(self.source, images), images], dim=1))


def take(batch: Batch, *names: str) -> Batch:
    """These entries of a batch. Raises ValueError where the data set has no such entries."""
    if missing := [name for name in names if name not in batch]:
        given, use = ", ".join(batch), "unpaired" if "a" in names else "damaged or dataset=paired"
        raise ValueError(f"this model needs {' and '.join(missing)}, but the data give {given}: use dataset={use}")
    return {name: batch[name] for name in names}


def enlarged(images: Tensor, like: Tensor) -> Tensor:
    """(N, C, h, w) -> (N, C, H, W), the size of `like`, each pixel a block."""
    same = images.shape[2:] == like.shape[2:]
    return images if same else F.interpolate(images, size=like.shape[2:], mode="nearest")


def psnr(images: Tensor, targets: Tensor) -> Tensor:
    """() decibels, the mean over the pictures: 10 log10(2² / mse) on the scale from -1 to 1."""
    mse = (images.float().clamp(-1, 1) - targets).square().flatten(1).mean(1).clamp_min(1e-10)
    return (10 * torch.log10(4 / mse)).mean()
