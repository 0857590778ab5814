"""GAN: a generator against a discriminator (Goodfellow et al., 2014), class-conditional or not (Mirza, 2014)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Annotated, TypedDict, TypeVar

import torch
from torch import Tensor, nn

from ganrun.augmentations.augmentation import Augmentation
from ganrun.common.bounds import At, Weight, Whole
from ganrun.losses.discriminate import Discriminate, OnePass
from ganrun.losses.loss import AdversarialLoss
from ganrun.losses.objective import Objective
from ganrun.systems.coupling import couples_images
from ganrun.systems.packing import logit_of_each
from ganrun.systems.system import ALWAYS, Batch, System, Turn

Fakes = Callable[[Batch], Tensor]
Made = TypeVar("Made")


class SharedOptions(TypedDict, total=False):
    """Options of every game like `GAN`: subclasses take them as `**options`, and `GAN` has their defaults."""

    share_fakes: bool
    augmentation: Augmentation | None
    generator_steps: Annotated[int, At(1, 1000)]


class GANOptions(SharedOptions, total=False):
    """Options of games with one discriminator."""

    feature_matching: Weight


class GAN(System):
    """The discriminator moves every step, the generator `generator_steps` times at every `loss.discriminator_steps`-th.

    Class-conditional with `classes`: both networks take labels as their second argument, and fakes have the labels of
    the batch's reals. `share_fakes` makes the fakes of a step once for both players, as tutorials do: one forward pass
    of the generator less. Further turns of the generator in a step have fakes of their own.
    `augmentation` changes the reals and fakes that the discriminator gets in both players' turns, but not in verdicts.
    `feature_matching` weighs |E f(x) − E f(G(z))|², which the generator minimises too; f are the discriminator's
    `features` (Salimans et al., 2016, section 3.1; in the paper it is the generator's only term).

    Raises ValueError where the loss needs each image's own gradient and the discriminator has BatchNorm, where
    `feature_matching` needs features and the discriminator has none, or where `generator_steps` is below 1.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        latent: nn.Module,
        loss: AdversarialLoss,
        share_fakes: bool = True,
        classes: Whole = 0,
        augmentation: Augmentation | None = None,
        feature_matching: Weight = 0.0,
        generator_steps: Annotated[int, At(1, 1000)] = 1,
    ) -> None:
        super().__init__()
        several = isinstance(discriminator, nn.ModuleDict)
        refuse_batchnorm(discriminator, loss, "discriminators.{}" if several else "discriminator")
        if feature_matching:
            refuse_featureless(discriminator)
        if generator_steps < 1:
            raise ValueError(f"generator_steps={generator_steps}, but the generator moves at least once")
        self.generator, self.discriminator, self.latent, self.loss = generator, discriminator, latent, loss
        self.share_fakes, self.classes, self.augmentation = share_fakes, classes, augmentation
        self.feature_matching, self.generator_steps = feature_matching, generator_steps
        self.one_pass = not classes and augmentation is None and not couples_images(discriminator)

    def players(self) -> dict[str, nn.Module]:
        return {"discriminator": self.discriminator, "generator": self.generator}

    def remarks(self, steps: int | None) -> list[str]:
        return never_moving(self.loss.discriminator_steps, steps)

    def turns(self, step: int) -> Iterator[Turn]:
        generator_moves = (step + 1) % self.loss.discriminator_steps == 0
        fakes = once(self.fakes) if self.share_fakes and generator_moves else self.fakes
        unseen = fakes if self.share_fakes and generator_moves else torch.no_grad()(self.fakes)
        yield Turn(
            "discriminator", partial(self.discriminator_turn, fakes=unseen, step=step), self.loss.graph_key(step)
        )
        if generator_moves:
            yield Turn("generator", partial(self.generator_turn, fakes=fakes), ALWAYS)
            for _ in range(1, self.generator_steps):
                yield Turn("generator", partial(self.generator_turn, fakes=self.fakes), ALWAYS)

    def differentiated_once(self) -> dict[str, nn.Module]:
        return self.players() if not self.loss.refuses_coupling else {"generator": self.generator}

    def discriminator_turn(self, batch: Batch, fakes: Fakes, step: int) -> Objective:
        return self.loss.discriminator_objective(
            self.discriminator_for(batch), batch["image"], fakes(batch).detach(), step
        )

    def generator_turn(self, batch: Batch, fakes: Fakes) -> Objective:
        fake = fakes(batch)
        objective = self.loss.generator_objective(self.discriminator_for(batch), fake, batch["image"])
        objective.terms |= self.matching(batch, fake)
        return objective

    def matching(self, batch: Batch, fake: Tensor) -> dict[str, Tensor]:
        """The weighted term |E f(x) − E f(G(z))|²; no term where the weight is 0."""
        if not self.feature_matching:
            return {}
        features = self.augmented(self.with_labels(self.discriminator.features, batch))  # type: ignore[arg-type]
        with torch.no_grad():
            real = features(batch["image"]).float()
        distance = (real.mean(0) - features(fake).float().mean(0)).square().sum()
        return {"features": self.feature_matching * distance}

    def after_turn(self, player: str) -> None:
        if player == "discriminator":
            self.loss.constrain(self.discriminator)
            if self.augmentation is not None:
                self.augmentation.after_turn()

    def discriminator_for(self, batch: Batch) -> Discriminate:
        """The discriminator as the loss calls it: with the batch's labels bound, behind the augmentation."""
        discriminate = self.augmented(self.judge(batch))
        return OnePass(discriminate) if self.one_pass else discriminate

    def judge(self, batch: Batch) -> Discriminate:
        """The discriminator, with the batch's labels bound if it is class-conditional."""
        return self.with_labels(self.discriminator, batch)

    def with_labels(self, call: Callable[..., Tensor], batch: Batch) -> Discriminate:
        return partial(call, labels=batch["label"]) if self.classes else call

    def augmented(self, call: Discriminate) -> Discriminate:
        augmentation = self.augmentation
        return call if augmentation is None else lambda images: call(augmentation(images))

    def fakes(self, batch: Batch) -> Tensor:
        """As many fakes as the batch has images, (N, C, H, W)."""
        return self.render({**batch, "latent": self.latents(len(batch["image"]), batch["image"].device)})

    def latents(self, count: int, device: torch.device) -> Tensor:
        """(count, Z) noise."""
        return self.latent.sample(count, device)  # type: ignore[operator]

    def ema_module(self) -> nn.Module:
        return self.generator

    def draw(self, count: int, labels: Sequence[int] | None = None) -> Batch:
        drawn = {"latent": self.latents(count, torch.device("cpu"))}
        if self.classes:
            drawn["label"] = in_order(list(range(self.classes)) if labels is None else self.checked(labels), count)
        elif labels is not None:
            raise ValueError(f"labels={list(labels)}: this model is unconditional and cannot be asked for a class")
        return drawn

    def checked(self, labels: Sequence[int]) -> list[int]:
        if not all(0 <= label < self.classes for label in labels):
            raise ValueError(f"labels={list(labels)}: this model knows the classes 0 to {self.classes - 1}")
        return list(labels)

    def examples(self, batch: Batch, count: int) -> Batch:
        whole_rows = max(count - count % self.classes, min(count, self.classes)) if self.classes else count
        return self.draw(whole_rows)

    def verdicts(self, images: Tensor, examples: Batch) -> Tensor:
        return logit_of_each(self.discriminator, images, examples, self.judge)

    def render(self, examples: Batch) -> Tensor:
        labels = (examples["label"],) if self.classes else ()
        return self.generator(examples["latent"], *labels)


def once(make: Callable[[Batch], Made]) -> Callable[[Batch], Made]:
    """Make the fakes of each batch once, so that both players of a step get the same."""
    made: list[tuple[Batch, Made]] = []  # one entry, or one for each part of a batch with gradient accumulation

    def remembered(batch: Batch) -> Made:
        for known, result in made:
            if known is batch:
                return result
        made.append((batch, make(batch)))
        return made[-1][1]

    return remembered


def in_order(labels: Sequence[int], count: int) -> Tensor:
    """[3, 7], 5 -> (5,) 3 3 3 7 7: as equal numbers as possible, class after class."""
    return torch.tensor([labels[number * len(labels) // count] for number in range(count)])


def never_moving(every: int, steps: int | None) -> list[str]:
    """A line if the run ends before the generator's first turn."""
    if steps is None or steps >= every:
        return []
    return [f"the generator never moves in {steps} steps: its first is that of loss.discriminator_steps={every}"]


def refuse_batchnorm(discriminator: nn.Module, loss: AdversarialLoss, key: str = "discriminator") -> None:
    """Raises ValueError where BatchNorm would mix the images whose own gradients the loss penalises.

    `key` is the discriminator's place in the config; with several, {} stands for the name of one.
    """
    for name, part in discriminator.named_modules() if loss.refuses_coupling else ():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            inner = ".network" if "network" in name.split(".") else ""
            raise ValueError(
                "this loss's penalty is each image's own gradient, but BatchNorm in the discriminator mixes the "
                f"batch's images: use model.{key.format(name.split('.')[0])}{inner}.norm=none (or layer, instance)"
            )


def refuse_featureless(discriminator: nn.Module) -> None:
    """Raises ValueError where the discriminator has no `features`."""
    for part in (
        discriminator,
        getattr(discriminator, "network", discriminator),
    ):  # the network inside a class-conditional one
        if not callable(getattr(part, "features", None)):
            raise ValueError(
                f"feature_matching: {type(part).__name__} has no method features(images) to compare; "
                "use model.feature_matching=0"
            )
