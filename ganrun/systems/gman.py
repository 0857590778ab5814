"""GMAN: one generator and several discriminators, which reduces mode collapse (Durugkar et al., 2017)."""

from __future__ import annotations

import copy
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Unpack, cast

import torch
from torch import Tensor, nn

from ganrun.common.bounds import Weight
from ganrun.losses.discriminate import Discriminate, OnePass
from ganrun.losses.loss import AdversarialLoss, joint_key
from ganrun.losses.objective import Objective, side_by_side
from ganrun.systems.gan import GAN, Fakes, SharedOptions
from ganrun.systems.packing import logit_of_each
from ganrun.systems.system import Batch, Turn


class GMAN(GAN):
    """A `GAN` whose generator minimises Σ w_i L_i, w = softmax(λ L), where L_i is its loss against discriminator i.

    hardness: λ. 0 gives the mean (GMAN-0 in the paper), 1 gives GMAN-1. The larger λ is, the more weight has the
    discriminator with the largest loss (section 4).
    No gradient flows through the weights w, because it would also reward losses that differ from each other. All
    discriminators get the same fakes. Each has its own copy of the loss, because some losses have running means.

    Raises ValueError when there are fewer than two discriminators or `hardness` is negative, and where `GAN` does.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminators: Mapping[str, nn.Module],
        latent: nn.Module,
        loss: AdversarialLoss,
        hardness: Weight = 1.0,
        **options: Unpack[SharedOptions],
    ) -> None:
        if len(discriminators) < 2:
            raise ValueError(f"discriminators has only {list(discriminators)}: give two or more, or use model=dcgan")
        if hardness < 0:
            raise ValueError(f"hardness={hardness}: use 0 (the mean over the discriminators) or more")
        networks = nn.ModuleDict(dict(discriminators))
        super().__init__(generator, networks, latent, loss, **options)
        self.loss = Losses({name: copy.deepcopy(loss) for name in networks})  # type: ignore[assignment]
        self.hardness = hardness

    def discriminator_of(self, one: nn.Module) -> Discriminate:
        """One of the discriminators, as its loss calls it."""
        discriminate = self.augmented(one)
        return OnePass(discriminate) if self.one_pass else discriminate

    def panel(self) -> Iterator[tuple[str, nn.Module, AdversarialLoss]]:
        """For each discriminator: its name, the network, and its loss."""
        for name, discriminator in cast(nn.ModuleDict, self.discriminator).items():
            yield name, discriminator, cast(AdversarialLoss, cast(Losses, self.loss)[name])

    def players(self) -> dict[str, nn.Module]:
        return {"discriminators": self.discriminator, "generator": self.generator}

    def differentiated_once(self) -> dict[str, nn.Module]:
        each = {name: discriminator for name, discriminator, loss in self.panel() if not loss.refuses_coupling}
        return {"generator": self.generator, **each}

    def turns(self, step: int) -> Iterator[Turn]:
        for turn in super().turns(step):
            yield turn if turn.player == "generator" else turn._replace(player="discriminators")

    def discriminator_turn(self, batch: Batch, fakes: Fakes, step: int) -> Objective:
        real, fake = batch["image"], fakes(batch).detach()
        each = {
            name: loss.discriminator_objective(self.discriminator_of(discriminator), real, fake, step)
            for name, discriminator, loss in self.panel()
        }
        objective = side_by_side(each)
        objective.real_logits = in_one_row([one.real_logits for one in each.values()])
        objective.monitors["accuracy"] = torch.stack([one.monitors["accuracy"] for one in each.values()]).mean()
        return self.observed(objective)

    def generator_turn(self, batch: Batch, fakes: Fakes) -> Objective:
        real, fake = batch["image"], fakes(batch)
        each = {
            name: loss.generator_objective(self.discriminator_of(discriminator), fake, real)
            for name, discriminator, loss in self.panel()
        }
        weights = self.weights(torch.stack([one.total for one in each.values()]))
        for one, weight in zip(each.values(), weights, strict=True):
            one.terms = {name: weight * term for name, term in one.terms.items()}
            one.monitors["weight"] = weight
        return side_by_side(each)

    def weights(self, losses: Tensor) -> Tensor:
        """(D,) the generator's loss against each of D discriminators -> (D,) softmax(λ L), without gradients."""
        return (self.hardness * losses.detach()).softmax(0)

    def after_turn(self, player: str) -> None:
        if player == "discriminators":
            for _, discriminator, loss in self.panel():
                loss.constrain(discriminator)
            if self.augmentation is not None:
                self.augmentation.after_turn()

    def verdicts(self, images: Tensor, examples: Batch) -> Tensor:
        """(N, C, H, W) -> (N,) the mean of the logits of all discriminators."""
        of_each = [logit_of_each(discriminator, images) for _, discriminator, _ in self.panel()]
        return torch.stack(of_each).mean(0)


def in_one_row(logits: Sequence[Tensor | None]) -> Tensor | None:
    """(N, ...) of each discriminator -> (N, L): an image counts once, however many discriminators judge it."""
    rows = [each.reshape(len(each), -1) for each in logits if each is not None]
    return torch.cat(rows, 1) if rows else None


class Losses(nn.ModuleDict):
    """Copies of one loss, one for each discriminator.

    They are the attribute `loss` of the system, because `ganrun sample` does not load what a checkpoint has under it.
    """

    @property
    def discriminator_steps(self) -> int:
        return cast(AdversarialLoss, next(iter(self.values()))).discriminator_steps

    def graph_key(self, step: int) -> Hashable | None:
        return joint_key(*(cast(AdversarialLoss, loss).graph_key(step) for loss in self.values()))
