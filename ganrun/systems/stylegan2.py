"""StyleGAN2's game: a GAN with style mixing and path length regularization (Karras et al., 2020)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import ClassVar, Unpack

import torch
from torch import Tensor, nn

from ganrun.common.bounds import Share, Whole
from ganrun.losses.loss import AdversarialLoss
from ganrun.losses.objective import Objective
from ganrun.losses.path_length import PathLength
from ganrun.systems.gan import GAN, GANOptions, once
from ganrun.systems.growth import growth_of, on_faded
from ganrun.systems.system import Batch, Turn


class StyleGAN2(GAN):
    """Moves like `GAN`. The generator has methods `styles` and `synthesis`, as `StyleGAN2Generator` has.

    `style_mixing` is the share of fakes that are made of two latents (Karras et al., 2019, section 3.1); pictures that
    are drawn for somebody to see are made of one. `path_length` adds its term to some turns of the generator. Where the
    discriminator grows, reals are faded in each turn as the fakes are (Karras et al., 2018, figure 2).
    Raises ValueError where the generator has no styles, or `GAN` refuses.
    """

    yaml_only: ClassVar[tuple[str, ...]] = (*GAN.yaml_only, "growth", "growth_share")  # read by both networks

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        latent: nn.Module,
        loss: AdversarialLoss,
        classes: Whole = 0,
        style_mixing: Share = 0.9,
        path_length: PathLength | None = None,
        **options: Unpack[GANOptions],
    ) -> None:
        super().__init__(generator, discriminator, latent, loss, classes=classes, **options)
        if not all(callable(getattr(generator, name, None)) for name in ("styles", "synthesis")):
            raise ValueError(f"generator: {type(generator).__name__} has no styles() and synthesis(); use model=dcgan")
        self.style_mixing, self.path_length = style_mixing, path_length

    def turns(self, step: int) -> Iterator[Turn]:
        number = step // self.loss.discriminator_steps  # of the generator's moves, if it moves at this step
        due = self.path_length is not None and self.path_length.active(number)
        growth, fade = growth_of(self.discriminator), once(self.faded)
        for turn in super().turns(step):
            if due and turn.player == "generator":
                due = False  # its further turns in a step have no such term
                turn = Turn("generator", partial(self.path_length_turn, turn.objective), "with path length")
            yield turn if growth is None else turn._replace(objective=on_faded(turn.objective, fade))

    def faded(self, batch: Batch) -> Batch:
        """The batch with its reals as a generator of the present level would show them."""
        growth = growth_of(self.discriminator)
        return batch if growth is None else {**batch, "image": growth.faded(batch["image"])}

    def differentiated_once(self) -> dict[str, nn.Module]:
        networks = super().differentiated_once()
        if self.path_length is not None and self.path_length.weight:
            networks.pop("generator")
        return networks

    def path_length_turn(self, usual: Callable[[Batch], Objective], batch: Batch) -> Objective:
        """The usual turn with one more term, on further fakes."""
        assert self.path_length is not None
        objective = usual(batch)
        count = self.path_length.count(len(batch["image"]))
        latents = self.latents(count, batch["image"].device)
        styles = self.generator.styles(latents, *self.labels_of(batch, count))  # type: ignore[operator]
        path = self.path_length(self.generator.synthesis, styles)
        objective.terms["path_length"] = path.term
        objective.monitors["mean_path"] = path.length
        return objective

    def fakes(self, batch: Batch) -> Tensor:
        count, device = len(batch["image"]), batch["image"].device
        drawn = {**batch, "latent": self.latents(count, device)}
        if self.style_mixing:
            others = self.latents(count, device)
            mixes = torch.rand(count, 1, device=device) < self.style_mixing
            drawn["other"] = torch.where(mixes, others, drawn["latent"])  # mixed with itself, a style stays what it is
        return self.render(drawn)

    def draw(self, count: int, labels: Sequence[int] | None = None) -> Batch:
        drawn = super().draw(count, labels)
        return {**drawn, "noise_seed": torch.randint(2**62, (count,))}  # last: latents are those of any other model

    def truncated(self, drawn: Batch, truncation: float) -> Batch:
        if not 0 <= truncation <= 1:
            raise ValueError(f"truncation={truncation}: for styles it is 0 (the mean picture) to 1 (no truncation)")
        return {**drawn, "psi": torch.full((len(drawn["latent"]),), truncation)}

    def render(self, examples: Batch) -> Tensor:
        labels = self.labels_of(examples, len(examples["latent"]))
        names = (("others", "other"), ("psi", "psi"), ("seeds", "noise_seed"))
        more = {name: examples[key] for name, key in names if key in examples}
        return self.generator(examples["latent"], *labels, **more)

    def labels_of(self, batch: Batch, count: int) -> tuple[Tensor, ...]:
        return (batch["label"][:count],) if self.classes else ()
