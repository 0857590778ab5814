"""VAE-GAN: a VAE with a discriminator, whose features measure the reconstruction error (Larsen et al., 2016)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor, nn

from ganrun.common.bounds import Weight
from ganrun.losses.loss import AdversarialLoss
from ganrun.losses.objective import Objective
from ganrun.systems.gan import refuse_batchnorm
from ganrun.systems.system import ALWAYS, Batch, Turn
from ganrun.systems.vae import VAE, half_square, sampled


class VAEGAN(VAE):
    """L_prior + L_llike^Dis_l + `adversarial_weight` · L_GAN (equation 8).

    kl_weight: the weight of L_prior. adversarial_weight: 1/γ in the paper.
    feature_layer: the name of a module of the discriminator, Dis_l in the paper. The reconstruction error is measured
    in the output of this module; None measures it in pixels.
    Half of the fakes are reconstructions, the other half are drawn from the prior. No gradient of L_GAN reaches the
    encoder (algorithm 1).
    Raises ValueError when the discriminator has no module of this name, or when a penalty of the loss cannot be used
    with BatchNorm in the discriminator.
    """

    def __init__(
        self,
        encoder: nn.Module,
        generator: nn.Module,
        discriminator: nn.Module,
        latent: nn.Module,
        loss: AdversarialLoss,
        kl_weight: Weight = 1.0,
        adversarial_weight: Weight = 1.0,
        feature_layer: str | None = None,
    ) -> None:
        super().__init__(encoder, generator, latent, loss, kl_weight)
        refuse_batchnorm(discriminator, loss)
        known = [name for name, _ in discriminator.named_modules() if name]
        if feature_layer is not None and feature_layer not in known:
            raise ValueError(
                f"feature_layer={feature_layer} is not a module of the discriminator: use null or {', '.join(known)}"
            )
        self.discriminator, self.feature_layer = discriminator, feature_layer
        self.adversarial_weight = adversarial_weight

    def players(self) -> dict[str, nn.Module]:
        return {"discriminator": self.discriminator, "autoencoder": self.autoencoder}

    def turns(self, step: int) -> Iterator[Turn]:
        yield Turn("discriminator", partial(self.discriminator_turn, step=step), self.loss.graph_key(step))
        if (step + 1) % self.loss.discriminator_steps == 0:
            yield Turn("autoencoder", self.autoencoder_turn, ALWAYS)

    def discriminator_turn(self, batch: Batch, step: int) -> Objective:
        with torch.no_grad():
            fake = self.fakes(sampled(*self.encode(batch["image"])))
        return self.loss.discriminator_objective(self.discriminator, batch["image"], fake, step)

    def autoencoder_turn(self, batch: Batch) -> Objective:
        images = batch["image"]
        mean, log_variance = self.encode(images)
        latents = sampled(mean, log_variance)
        objective = self.evidence(images, mean, log_variance, self.decode(latents))
        # detached latents: L_GAN does not train the encoder (algorithm 1)
        adversarial = self.loss.generator_objective(self.discriminator, self.fakes(latents.detach()), images)
        objective.terms |= {name: self.adversarial_weight * term for name, term in adversarial.terms.items()}
        return objective

    def after_turn(self, player: str) -> None:
        if player == "discriminator":
            self.loss.constrain(self.discriminator)

    def fakes(self, latents: Tensor) -> Tensor:
        """(N, Z) latents of the batch -> (N, C, H, W) fakes: one half from these latents, one from the prior."""
        half = len(latents) // 2
        return self.decode(torch.cat([latents[:half], self.prior(len(latents) - half, latents.device)]))

    def distance(self, images: Tensor, reconstructed: Tensor) -> Tensor:
        if self.feature_layer is None:
            return super().distance(images, reconstructed)
        with torch.no_grad():
            target = self.features(images)
        return half_square(target, self.features(reconstructed))

    def features(self, images: Tensor) -> Tensor:
        """(N, C, H, W) -> the output of the discriminator's feature layer."""
        found: list[Tensor] = []
        layer = self.discriminator.get_submodule(self.feature_layer or "")
        hook = layer.register_forward_hook(lambda module, inputs, output: found.append(output))
        try:
            self.discriminator(images)
        finally:
            hook.remove()
        return found[0]

    def verdicts(self, images: Tensor, examples: Batch) -> Tensor:
        return self.discriminator(images).view(len(images), -1).mean(1)
