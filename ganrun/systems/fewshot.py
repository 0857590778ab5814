"""Few-shot GAN's game: the discriminator also learns to reconstruct the real images (Liu et al., 2021)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Unpack

from torch import Tensor, nn

from ganrun.common.bounds import Weight
from ganrun.losses.loss import AdversarialLoss
from ganrun.losses.objective import Objective
from ganrun.systems.gan import GAN, Fakes, GANOptions
from ganrun.systems.system import Batch


class FewShot(GAN):
    """Moves like `GAN`. The discriminator's turn has one more term: the distance of reals from their reconstructions.

    The discriminator has `reconstructions`, and returns (logits, features) where it is called with `encoded=True`, as
    `FewShotDiscriminator` does. It reconstructs what it sees: augmented reals, never fakes (section 3.2).
    reconstruction_weight: of this term; 1 in the paper. With 0 the decoders do not learn.
    reconstruction: a module (images, images) -> () distance, which stays frozen. None: the mean absolute difference.
    The paper's is perceptual; ganrun has no pretrained weights for one.
    Raises ValueError for a discriminator without reconstructions.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        latent: nn.Module,
        loss: AdversarialLoss,
        reconstruction_weight: Weight = 1.0,
        reconstruction: nn.Module | None = None,
        **options: Unpack[GANOptions],
    ) -> None:
        super().__init__(generator, discriminator, latent, loss, **options)
        if not callable(getattr(discriminator, "reconstructions", None)):
            raise ValueError(f"discriminator: {type(discriminator).__name__} has no reconstructions(); use model=dcgan")
        self.reconstruction_weight = reconstruction_weight
        self.reconstruction = nn.L1Loss() if reconstruction is None else reconstruction.requires_grad_(False)

    def remarks(self, steps: int | None) -> list[str]:
        found = super().remarks(steps)
        if self.augmentation is None:
            found.append(
                "model=fewshot is made for few pictures, with augmentation=diffaugment or ada; it has none here"
            )
        return found

    # These turns run the same operations at the steps where GAN's do: see `System.graph_key`.
    turns = GAN.turns

    def discriminator_turn(self, batch: Batch, fakes: Fakes, step: int) -> Objective:
        if not self.reconstruction_weight:
            return super().discriminator_turn(batch, fakes, step)
        seen = Seen(self.discriminator)
        objective = self.observed(
            self.loss.discriminator_objective(self.augmented(seen), batch["image"], fakes(batch).detach(), step)
        )
        objective.terms["reconstruction"] = self.reconstruction_weight * self.distance(*seen.first)
        return objective

    def distance(self, images: Tensor, maps: Any) -> Tensor:
        """(N, C, H, W) images, their features -> () the mean distance of the images from their reconstructions."""
        pairs: Iterable[tuple[Tensor, Tensor]]
        pairs = self.discriminator.reconstructions(images.detach(), maps)  # type: ignore[operator]
        distances = [self.reconstruction(drawn.float(), wanted.float()) for drawn, wanted in pairs]
        return sum(distances[1:], start=distances[0]) / len(distances)


class Seen:
    """The discriminator as a loss calls it. It keeps the images and the features of the first call: the reals."""

    def __init__(self, discriminator: nn.Module) -> None:
        self.discriminator = discriminator
        self.first: tuple[Tensor, Any] = ()  # type: ignore[assignment]

    def __call__(self, images: Tensor) -> Tensor:
        """(N, C, H, W) images -> (N, ...) logits."""
        logits, maps = self.discriminator(images, encoded=True)
        self.first = self.first or (images, maps)
        return logits
