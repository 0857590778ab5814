"""GAN: a generator against a discriminator (Goodfellow et al., 2014)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from ganrun.losses.loss import AdversarialLoss
from ganrun.objective import Objective
from ganrun.systems.system import Batch, System, Turn

Fakes = Callable[[Batch], Tensor]


class GAN(System):
    """The discriminator moves every step, the generator every `loss.discriminator_steps`-th.

    `share_fakes` makes a step's fakes once for both players, as tutorial loops do: the same mathematics
    with one forward pass of the generator less. Raises ValueError when the loss needs each image's own
    gradient and the discriminator couples the images of a batch by BatchNorm.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        latent: nn.Module,
        loss: AdversarialLoss,
        share_fakes: bool = True,
    ) -> None:
        super().__init__()
        if loss.per_image and any(
            isinstance(module, nn.modules.batchnorm._BatchNorm) for module in discriminator.modules()
        ):
            raise ValueError(
                "this loss's penalty is each image's own gradient, but BatchNorm in the discriminator mixes the "
                "batch's images: use model.discriminator.norm=none (or layer, instance)"
            )
        self.generator, self.discriminator, self.latent, self.loss = generator, discriminator, latent, loss
        self.share_fakes = share_fakes

    def players(self) -> dict[str, nn.Module]:
        return {"discriminator": self.discriminator, "generator": self.generator}

    def turns(self, step: int) -> Iterator[Turn]:
        generator_moves = (step + 1) % self.loss.discriminator_steps == 0
        fakes = once(self.fakes) if self.share_fakes and generator_moves else self.fakes
        unseen = fakes if self.share_fakes and generator_moves else torch.no_grad()(self.fakes)
        yield Turn("discriminator", partial(self.discriminator_turn, fakes=unseen, step=step))
        if generator_moves:
            yield Turn("generator", partial(self.generator_turn, fakes=fakes))

    def discriminator_turn(self, batch: Batch, fakes: Fakes, step: int) -> Objective:
        return self.loss.discriminator_objective(self.discriminator, batch["image"], fakes(batch).detach(), step)

    def generator_turn(self, batch: Batch, fakes: Fakes) -> Objective:
        return self.loss.generator_objective(self.discriminator, fakes(batch), batch["image"])

    def after_turn(self, player: str) -> None:
        if player == "discriminator":
            self.loss.constrain(self.discriminator)

    def fakes(self, batch: Batch) -> Tensor:
        """As many fakes as the batch has images, (N, C, H, W)."""
        return self.generator(self.latents(len(batch["image"]), batch["image"].device))

    def latents(self, count: int, device: torch.device) -> Tensor:
        """(count, Z) noise."""
        return self.latent.sample(count, device)  # type: ignore[operator]

    def drawn_with(self) -> nn.Module:
        return self.generator

    def draw(self, count: int, labels: Sequence[int] | None = None) -> Batch:
        if labels is not None:
            raise ValueError(f"labels={list(labels)}: this model is unconditional and cannot be asked for a class")
        return {"latent": self.latents(count, torch.device("cpu"))}

    def examples(self, batch: Batch, count: int) -> Batch:
        return self.draw(count)

    def verdicts(self, images: Tensor) -> Tensor:
        return self.discriminator(images).view(len(images), -1).mean(1)

    def render(self, examples: Batch) -> Tensor:
        return self.generator(examples["latent"])


def once(make: Fakes) -> Fakes:
    """Remember the first result: both players of a step meet the same fakes."""
    made: list[Tensor] = []

    def remembered(batch: Batch) -> Tensor:
        if not made:
            made.append(make(batch))
        return made[0]

    return remembered
