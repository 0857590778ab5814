"""CUT: one-sided translation between two domains without paired images, by contrasting patches (Park et al., 2020)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Annotated, NamedTuple

import torch
from torch import Tensor, nn

from ganrun.common.bounds import At, Positive, Weight
from ganrun.losses.loss import AdversarialLoss
from ganrun.losses.objective import Objective
from ganrun.losses.patch_nce import patch_nce
from ganrun.systems.gan import never_moving, once, refuse_batchnorm
from ganrun.systems.packing import logit_of_each
from ganrun.systems.system import ALWAYS, Batch, Turn
from ganrun.systems.translation import Compared, PictureToPicture, take


class Translated(NamedTuple):
    """Fakes, the features of the pictures that they were made from, and which were made from the mirror images."""

    fake: Tensor
    features: list[Tensor]
    mirrored: Tensor | None  # (N,) bool; None: no image


class CUT(PictureToPicture):
    """L_GAN(G, D) + λ_X L_PatchNCE(G, H, X) + λ_Y L_PatchNCE(G, H, Y) (equation 5), G: a -> b.

    L_PatchNCE asks that the features of a patch of G(a) are nearer to those of the patch of a at the same place than to
    those of other patches of a. The features are those of G's own first half, and the heads H compare them. So one
    generator and one discriminator do what takes CycleGAN two of each.

    The generator returns (images, features) where it is called with `encoded=True`, has a method `features`, and
    `feature_channels`, as `ResNetTranslator` does. heads: as `PatchHeads`, which are built for these channels.
    nce_weight: λ_X. identity_weight: λ_Y, of the same loss between b and G(b), which keeps G from needless changes.
    adversarial_weight: of L_GAN. patches: how many places of each layer are compared, new ones at each step.
    temperature: τ. Of the patches and the layers, which equation 4 adds up, the mean is taken: so λ has the same
    meaning for any number of them.
    flip_equivariance: G gets the mirror images of half of the pictures, and the features of these outputs are mirrored
    back before they are compared (FastCUT, appendix). It takes one more pass of G's first half.
    Raises ValueError for a generator without features, and when a penalty of the loss cannot be used with BatchNorm in
    the discriminator.
    """

    panel_count = 4

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        heads: nn.Module,
        loss: AdversarialLoss,
        nce_weight: Weight = 1.0,
        identity_weight: Weight = 1.0,
        adversarial_weight: Weight = 1.0,
        patches: Annotated[int, At(2, 2**16)] = 256,
        temperature: Positive = 0.07,
        flip_equivariance: bool = False,
    ) -> None:
        super().__init__()
        refuse_batchnorm(discriminator, loss)
        channels = getattr(generator, "feature_channels", None)
        if channels is None or not callable(getattr(generator, "features", None)):
            raise ValueError(
                f"generator: {type(generator).__name__} has no features(images) and feature_channels to compare "
                "patches by; use ganrun.networks.resnet.ResNetTranslator"
            )
        heads.build(channels)  # type: ignore[operator]
        self.generator, self.discriminator, self.heads, self.loss = generator, discriminator, heads, loss
        self.nce_weight, self.identity_weight = nce_weight, identity_weight
        self.adversarial_weight, self.patches, self.temperature = adversarial_weight, patches, temperature
        self.flip_equivariance = flip_equivariance

    def players(self) -> dict[str, nn.Module]:
        both = nn.ModuleDict({"generator": self.generator, "heads": self.heads})
        return {"discriminator": self.discriminator, "generator": both}

    def remarks(self, steps: int | None) -> list[str]:
        return never_moving(self.loss.discriminator_steps, steps)

    def turns(self, step: int) -> Iterator[Turn]:
        generator_moves = (step + 1) % self.loss.discriminator_steps == 0
        fakes = once(self.fakes) if generator_moves else torch.no_grad()(self.fakes)
        yield Turn("discriminator", partial(self.discriminator_turn, fakes=fakes, step=step), self.loss.graph_key(step))
        if generator_moves:
            yield Turn("generator", partial(self.generator_turn, fakes=fakes), ALWAYS)

    def differentiated_once(self) -> dict[str, nn.Module]:
        judge = {} if self.loss.refuses_coupling else {"discriminator": self.discriminator}
        return {**judge, "generator": self.generator}

    def discriminator_turn(self, batch: Batch, fakes: Callable[[Batch], Translated], step: int) -> Objective:
        fake = cut_back(fakes(batch).fake.detach(), batch["b"])
        return self.loss.discriminator_objective(self.discriminator, batch["b"], fake, step)

    def generator_turn(self, batch: Batch, fakes: Callable[[Batch], Translated]) -> Objective:
        made = fakes(batch)
        objective = self.loss.generator_objective(self.discriminator, cut_back(made.fake, batch["b"]), batch["b"])
        objective.terms = {name: self.adversarial_weight * term for name, term in objective.terms.items()}
        if self.nce_weight:
            objective.terms["nce"] = self.nce_weight * self.contrast(made)
        if self.identity_weight:
            same, features = self.generator(batch["b"], encoded=True)
            objective.terms["identity_nce"] = self.identity_weight * self.contrast(Translated(same, features, None))
        return objective

    def contrast(self, made: Translated) -> Tensor:
        """() L_PatchNCE between the fakes and what they were made from, the mean over the layers."""
        features: list[Tensor] = self.generator.features(made.fake)  # type: ignore[operator]
        if made.mirrored is not None:
            features = [mirrored_where(made.mirrored, layer) for layer in features]
        places = [some_places(layer, self.patches) for layer in features]
        queries = self.heads([patches_at(*pair) for pair in zip(features, places, strict=True)])
        with torch.no_grad():
            keys = self.heads([patches_at(*pair) for pair in zip(made.features, places, strict=True)])
        losses = [patch_nce(query, key, self.temperature) for query, key in zip(queries, keys, strict=True)]
        return sum(losses[1:], start=losses[0]) / len(losses)

    def after_turn(self, player: str) -> None:
        if player == "discriminator":
            self.loss.constrain(self.discriminator)

    def fakes(self, batch: Batch) -> Translated:
        """The fakes of domain b, and the features of a. Raises ValueError for data without two domains."""
        source = take(batch, "a", "b")["a"]
        if not self.flip_equivariance:
            fake, features = self.generator(source, encoded=True)
            return Translated(fake, features, None)
        mirrored = torch.rand(len(source), device=source.device) < 0.5
        with torch.no_grad():
            features = self.generator.features(source)  # type: ignore[operator]
        # the first map is the source, padded to whole strides: mirrored without its padding, the maps would not align
        return Translated(self.generator(mirrored_where(mirrored, features[0])), features, mirrored)

    def ema_module(self) -> nn.Module:
        return self.generator

    def examples(self, batch: Batch, count: int) -> Batch:
        return {name: images[:count] for name, images in take(batch, "a", "b").items()}

    def render(self, examples: Batch) -> Tensor:
        """Translates the examples of domain a: (N, C, H, W) -> (N, C, H, W) images of domain b."""
        return self.generator(examples["a"])

    def compared(self, examples: Batch) -> list[Compared]:
        return [(examples["a"], self.render(examples), examples["b"])]

    def panels(self, examples: Batch) -> dict[str, Tensor]:
        """Four batches: images of a, their translations to b, images of b, and what the generator makes of these."""
        b = examples["b"]
        return {"input a": examples["a"], "output b": self.render(examples), "input b": b, "same b": self.generator(b)}

    def verdicts(self, images: Tensor, examples: Batch) -> Tensor:
        return logit_of_each(self.discriminator, images)

    def translate(self, images: Tensor, direction: str | None = None) -> Tensor:
        """direction: "ab", also for None. Raises ValueError for any other."""
        if direction not in (None, "ab"):
            raise ValueError(f"direction={direction}: this model translates only from a to b (model=cyclegan: both)")
        return self.generator(images)


def mirrored_where(mirrored: Tensor, images: Tensor) -> Tensor:
    """(N,) bool, (N, C, H, W) -> (N, C, H, W), left and right exchanged where it is true."""
    return torch.where(mirrored[:, None, None, None], images.flip(3), images)


def cut_back(images: Tensor, like: Tensor) -> Tensor:
    """(N, C, H', W') -> (N, C, H, W), the size of `like`."""
    return images[:, :, : like.shape[2], : like.shape[3]]


def some_places(features: Tensor, count: int) -> Tensor:
    """(N, C, H, W) -> (N, S) different places of each image, at most `count`, from torch's random state."""
    height, width = features.shape[2:]
    chances = torch.rand(len(features), height * width, device=features.device)
    return chances.topk(min(count, height * width), dim=1).indices


def patches_at(features: Tensor, places: Tensor) -> Tensor:
    """(N, C, H, W), (N, S) -> (N, S, C) the features at these places."""
    flat = features.flatten(2)
    return flat.gather(2, places[:, None].expand(-1, flat.shape[1], -1)).transpose(1, 2)
