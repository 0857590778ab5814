"""GAN: one generator and one discriminator (Goodfellow et al., 2014), class-conditional if wanted (Mirza, 2014)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Annotated, TypedDict, TypeVar

import torch
from torch import Tensor, nn

from ganrun.augmentations.augmentation import Augmentation
from ganrun.common.bounds import At, Weight, Whole
from ganrun.common.plurals import plural
from ganrun.losses.discriminate import Discriminate, OnePass
from ganrun.losses.loss import AdversarialLoss
from ganrun.losses.objective import Objective
from ganrun.systems.coupling import couples_images
from ganrun.systems.packing import logit_of_each
from ganrun.systems.system import ALWAYS, Batch, System, Turn
from ganrun.systems.truncation import truncated_latents

Fakes = Callable[[Batch], Tensor]
Made = TypeVar("Made")


class SharedOptions(TypedDict, total=False):
    """Options of `GAN` and its subclasses. A subclass takes them as `**options`; the defaults are those of `GAN`."""

    share_fakes: bool
    augmentation: Augmentation | None
    generator_steps: Annotated[int, At(1, 1000)]


class GANOptions(SharedOptions, total=False):
    """Options of systems with a single discriminator."""

    feature_matching: Weight


class GAN(System):
    """The discriminator moves once in every step. The generator moves at every `loss.discriminator_steps`-th step.

    generator_steps: how many times the generator moves in such a step.
    classes: the number of classes; 0 makes the system unconditional. In a class-conditional system both networks take
    (N,) labels as second argument, and the fakes have the labels of the batch's reals.
    share_fakes: both players use the same fakes in a step, as in most tutorials, which saves a forward pass of the
    generator. When the generator moves more than once in a step, its second and later turns draw new fakes.
    augmentation: is applied to reals and fakes before the discriminator, in the turns of both players, but not in
    `verdicts`.
    feature_matching: the weight of |E f(x) − E f(G(z))|², a further term of the generator, where f is the method
    `features` of the discriminator (Salimans et al., 2016, section 3.1; there it is the
    generator's only term).

    Raises ValueError when a penalty of the loss cannot be used with BatchNorm in the discriminator, when
    `feature_matching` is given and the discriminator has no `features`, or when `generator_steps` is below 1.
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
            raise ValueError(f"generator_steps={generator_steps}: the generator moves at least once, use 1 or more")
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
        # fakes that the generator will not use again need no graph
        discriminator_fakes = fakes if self.share_fakes and generator_moves else torch.no_grad()(self.fakes)
        yield Turn(
            "discriminator",
            partial(self.discriminator_turn, fakes=discriminator_fakes, step=step),
            self.loss.graph_key(step),
        )
        if generator_moves:
            yield Turn("generator", partial(self.generator_turn, fakes=fakes), ALWAYS)
            for _ in range(1, self.generator_steps):
                yield Turn("generator", partial(self.generator_turn, fakes=self.fakes), ALWAYS)

    def differentiated_once(self) -> dict[str, nn.Module]:
        return self.players() if not self.loss.refuses_coupling else {"generator": self.generator}

    def discriminator_turn(self, batch: Batch, fakes: Fakes, step: int) -> Objective:
        discriminate = self.discriminator_for(batch)
        return self.observed(
            self.loss.discriminator_objective(discriminate, batch["image"], fakes(batch).detach(), step)
        )

    def observed(self, objective: Objective) -> Objective:
        """Shows the discriminator's logits of reals to the augmentation; returns the objective."""
        if self.augmentation is not None and objective.real_logits is not None:
            self.augmentation.observe(objective.real_logits)
        return objective

    def generator_turn(self, batch: Batch, fakes: Fakes) -> Objective:
        fake = fakes(batch)
        objective = self.loss.generator_objective(self.discriminator_for(batch), fake, batch["image"])
        objective.terms |= self.matching(batch, fake)
        return objective

    def matching(self, batch: Batch, fake: Tensor) -> dict[str, Tensor]:
        """The weighted feature matching term |E f(x) − E f(G(z))|²; {} when its weight is 0."""
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
        """The discriminator as the loss calls it: it augments the images, and it already has the batch's labels."""
        discriminate = self.augmented(self.judge(batch))
        return OnePass(discriminate) if self.one_pass else discriminate

    def judge(self, batch: Batch) -> Discriminate:
        """The discriminator without augmentation, as a function of images alone: it already has the batch's labels."""
        return self.with_labels(self.discriminator, batch)

    def with_labels(self, call: Callable[..., Tensor], batch: Batch) -> Discriminate:
        """`call` with the batch's labels as argument when the system is class-conditional, otherwise `call` itself."""
        return partial(call, labels=batch["label"]) if self.classes else call

    def augmented(self, call: Discriminate) -> Discriminate:
        """`call` on augmented images."""
        augmentation = self.augmentation
        return call if augmentation is None else lambda images: call(augmentation(images))

    def fakes(self, batch: Batch) -> Tensor:
        """(N, C, H, W) fakes, as many as the batch has images."""
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

    def truncated(self, drawn: Batch, truncation: float) -> Batch:
        return {**drawn, "latent": truncated_latents(self.latent, drawn["latent"], truncation)}

    def checked(self, labels: Sequence[int]) -> list[int]:
        """The labels. Raises ValueError when one of them is not a class of this model."""
        if not all(0 <= label < self.classes for label in labels):
            raise ValueError(f"labels={list(labels)}: this model knows the classes 0 to {self.classes - 1}")
        return list(labels)

    def examples(self, batch: Batch, count: int) -> Batch:
        # equally many of each class, so that the rows of a grid are complete
        whole_rows = max(count - count % self.classes, min(count, self.classes)) if self.classes else count
        return self.draw(whole_rows)

    def verdicts(self, images: Tensor, examples: Batch) -> Tensor:
        return logit_of_each(self.discriminator, images, examples, self.judge)

    def render(self, examples: Batch) -> Tensor:
        labels = (examples["label"],) if self.classes else ()
        return self.generator(examples["latent"], *labels)


def once(make: Callable[[Batch], Made]) -> Callable[[Batch], Made]:
    """`make`, but called only once for each batch, so that both players of a step get the same fakes."""
    made: list[tuple[Batch, Made]] = []  # one entry; with gradient accumulation, one entry for each part of the batch

    def make_once(batch: Batch) -> Made:
        for known, result in made:
            if known is batch:
                return result
        made.append((batch, make(batch)))
        return made[-1][1]

    return make_once


def in_order(labels: Sequence[int], count: int) -> Tensor:
    """(count,) labels, sorted by class, with equal numbers of each class as far as possible: [3, 7], 5 -> 3 3 3 7 7."""
    return torch.tensor([labels[number * len(labels) // count] for number in range(count)])


def never_moving(every: int, steps: int | None) -> list[str]:
    """A remark when the run ends before the generator's first turn. steps: None when it is not known."""
    if steps is None or steps >= every:
        return []
    return [
        f"the generator never moves in {steps} {plural('step', steps)}: loss.discriminator_steps={every}, "
        f"so its first step is {every}"
    ]


def refuse_batchnorm(discriminator: nn.Module, loss: AdversarialLoss, key: str = "discriminator") -> None:
    """Raises ValueError when the discriminator has BatchNorm and a penalty needs the gradient of each single image.

    key: the place of the discriminator in the config; with several discriminators, {} stands for the name of one.
    """
    for name, part in discriminator.named_modules() if loss.refuses_coupling else ():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            inner = ".network" if "network" in name.split(".") else ""
            raise ValueError(
                "this loss penalises the gradient of each single image, but BatchNorm in the discriminator mixes the "
                f"images of a batch: use model.{key.format(name.split('.')[0])}{inner}.norm=none (or layer, instance)"
            )


def refuse_featureless(discriminator: nn.Module) -> None:
    """Raises ValueError when the discriminator has no method `features`."""
    inner = getattr(discriminator, "network", discriminator)  # a class-conditional discriminator wraps a network
    for part in (discriminator, inner):
        if not callable(getattr(part, "features", None)):
            raise ValueError(
                f"feature_matching: {type(part).__name__} has no method features(images) to compare; "
                "use model.feature_matching=0"
            )
