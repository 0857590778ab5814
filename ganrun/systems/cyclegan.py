"""CycleGAN: image-to-image translation between two domains without paired images (Zhu et al., 2017)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganrun.common.bounds import At, Setting, Weight
from ganrun.losses.loss import AdversarialLoss, joint_key
from ganrun.losses.objective import Objective, side_by_side
from ganrun.systems.gan import once, refuse_batchnorm
from ganrun.systems.packing import logit_of_each
from ganrun.systems.pool import ImagePool
from ganrun.systems.system import ALWAYS, Batch, Turn
from ganrun.systems.translation import Compared, PictureToPicture, take

Pair = tuple[Tensor, Tensor]  # fakes of domain a, translated from b, and fakes of domain b, translated from a


class CycleGAN(PictureToPicture):
    """L_GAN(G, D_b) + L_GAN(F, D_a) + λ (|F(G(a)) − a| + |G(F(b)) − b|) (equation 3), G: a -> b, F: b -> a.

    cycle_weight: λ, the weight of the cycle-consistency loss. adversarial_weight: the weight of the L_GAN terms.
    identity_weight: the weight of |G(b) − b| + |F(a) − a|, which preserves colours (section 5.2).
    pool_size: the number of earlier fakes that each discriminator's image pool stores.
    channels, image_size: of the images in the pools, in pixels.
    Each discriminator has its own copy of the loss, because some losses have running means.
    Raises ValueError when a penalty of the loss cannot be used with BatchNorm in a discriminator.
    """

    panel_count = 8

    def __init__(
        self,
        generator_ab: nn.Module,
        generator_ba: nn.Module,
        discriminator_a: nn.Module,
        discriminator_b: nn.Module,
        loss: AdversarialLoss,
        channels: Setting,
        image_size: int | Sequence[int],
        cycle_weight: Weight = 10.0,
        identity_weight: Weight = 5.0,
        adversarial_weight: Weight = 1.0,
        pool_size: Annotated[int, At(0, 2**16)] = 50,
    ) -> None:
        super().__init__()
        self.generators = nn.ModuleDict({"ab": generator_ab, "ba": generator_ba})
        self.discriminators = nn.ModuleDict({"a": discriminator_a, "b": discriminator_b})
        refuse_batchnorm(self.discriminators, loss, "discriminator_{}")
        self.losses = {"a": loss, "b": copy.deepcopy(loss)}
        self.loss = nn.ModuleDict(self.losses)  # in checkpoints, the loss of every system has the name "loss"
        self.pool_a, self.pool_b = (ImagePool(pool_size, channels, image_size) for _ in range(2))
        self.cycle_weight, self.identity_weight = cycle_weight, identity_weight
        self.adversarial_weight = adversarial_weight

    def players(self) -> dict[str, nn.Module]:
        return {"discriminators": self.discriminators, "generators": self.generators}

    def turns(self, step: int) -> Iterator[Turn]:
        generators_move = (step + 1) % self.losses["a"].discriminator_steps == 0
        fakes = once(self.fakes) if generators_move else torch.no_grad()(self.fakes)
        key = joint_key(*(loss.graph_key(step) for loss in self.losses.values()))
        yield Turn("discriminators", partial(self.discriminators_turn, fakes=fakes, step=step), key)
        if generators_move:
            yield Turn("generators", partial(self.generators_turn, fakes=fakes), ALWAYS)

    def discriminators_turn(self, batch: Batch, fakes: Callable[[Batch], Pair], step: int) -> Objective:
        fake_a, fake_b = fakes(batch)
        for_a, for_b = self.discriminators["a"], self.discriminators["b"]
        of_a = self.losses["a"].discriminator_objective(for_a, batch["a"], self.pool_a.swap(fake_a), step)
        of_b = self.losses["b"].discriminator_objective(for_b, batch["b"], self.pool_b.swap(fake_b), step)
        objective = side_by_side({"a": of_a, "b": of_b})
        objective.monitors["accuracy"] = (of_a.monitors["accuracy"] + of_b.monitors["accuracy"]) / 2
        return objective

    def generators_turn(self, batch: Batch, fakes: Callable[[Batch], Pair]) -> Objective:
        a, b = batch["a"], batch["b"]
        to_b, to_a = self.generators["ab"], self.generators["ba"]
        fake_a, fake_b = fakes(batch)
        objective = side_by_side(
            {
                "a": self.losses["a"].generator_objective(self.discriminators["a"], fake_a, a),
                "b": self.losses["b"].generator_objective(self.discriminators["b"], fake_b, b),
            }
        )
        objective.terms = {name: self.adversarial_weight * term for name, term in objective.terms.items()}
        cycle = l1(to_a(fake_b), a) + l1(to_b(fake_a), b)
        objective.terms["cycle"] = self.cycle_weight * cycle
        if self.identity_weight:
            objective.terms["identity"] = self.identity_weight * (l1(to_a(a), a) + l1(to_b(b), b))
        objective.monitors["cycle_l1"] = cycle.detach() / 2
        return objective

    def after_turn(self, player: str) -> None:
        if player == "discriminators":
            self.losses["a"].constrain(self.discriminators)

    def fakes(self, batch: Batch) -> Pair:
        """(N, C, H, W) fakes of domain a and of domain b. Raises ValueError for data without two domains."""
        pictures = take(batch, "a", "b")
        return self.generators["ba"](pictures["b"]), self.generators["ab"](pictures["a"])

    def ema_module(self) -> nn.Module:
        return self.generators

    def examples(self, batch: Batch, count: int) -> Batch:
        return {name: images[:count] for name, images in take(batch, "a", "b").items()}

    def render(self, examples: Batch) -> Tensor:
        """Translates the examples of domain a: (N, C, H, W) -> (N, C, H, W) images of domain b."""
        return self.generators["ab"](examples["a"])

    def compared(self, examples: Batch) -> list[Compared]:
        a, b = examples["a"], examples["b"]
        return [(a, self.generators["ab"](a), b), (b, self.generators["ba"](b), a)]

    def panels(self, examples: Batch) -> dict[str, Tensor]:
        """Eight batches: images of a, G(a), the reconstruction F(G(a)) and the identity F(a); the same for b."""
        return {
            **self.journey(examples["a"], "a", "b", self.generators["ab"], self.generators["ba"]),
            **self.journey(examples["b"], "b", "a", self.generators["ba"], self.generators["ab"]),
        }

    def journey(self, image: Tensor, own: str, other: str, there: nn.Module, back: nn.Module) -> dict[str, Tensor]:
        """The images, their translations, these translated back, and what `back` makes of the images themselves."""
        output = there(image)
        named = {f"input {own}": image, f"output {other}": output}
        return {**named, f"back to {own}": back(output), f"same {own}": back(image)}

    def verdicts(self, images: Tensor, examples: Batch) -> Tensor:
        return logit_of_each(self.discriminators["b"], images)

    def translate(self, images: Tensor, direction: str | None = None) -> Tensor:
        """direction: "ab" (the default, also for None) or "ba". Raises ValueError for any other."""
        if direction not in (None, *self.generators):
            raise ValueError(f"direction={direction}: this model knows {' and '.join(self.generators)}")
        return self.generators[direction or "ab"](images)


def l1(images: Tensor, targets: Tensor) -> Tensor:
    """() the mean absolute difference, in float32."""
    return F.l1_loss(images.float(), targets)
