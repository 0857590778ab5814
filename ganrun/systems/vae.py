"""VAE: a variational autoencoder, which has no discriminator (Kingma and Welling, 2014)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from ganrun.common.bounds import Weight
from ganrun.losses.loss import AdversarialLoss
from ganrun.losses.objective import Objective
from ganrun.systems.system import ALWAYS, Batch, System, Turn
from ganrun.systems.truncation import truncated_latents


class VAE(System):
    """min KL(q(z|x) ‖ N(0, 1)) − E log p(x|z), in nats per picture, where p is a Gaussian with variance 1.

    encoder: (N, C, H, W) -> (N, 2·Z), the means and log variances of q. latent: the prior N(0, 1).
    kl_weight: the weight of the first term. loss: not used; every system takes it.
    The only player, `autoencoder`, trains both networks. The VAE serves as a baseline for VAE-GAN.
    """

    takes_pictures, panel_count = True, 3

    def __init__(
        self,
        encoder: nn.Module,
        generator: nn.Module,
        latent: nn.Module,
        loss: AdversarialLoss,
        kl_weight: Weight = 1.0,
    ) -> None:
        super().__init__()
        self.autoencoder = nn.ModuleDict({"encoder": encoder, "generator": generator})
        self.latent, self.loss, self.kl_weight = latent, loss, kl_weight

    def players(self) -> dict[str, nn.Module]:
        return {"autoencoder": self.autoencoder}

    def remarks(self, steps: int | None) -> list[str]:
        return ["a VAE has no discriminator: loss= and its penalties have no effect"]

    def turns(self, step: int) -> Iterator[Turn]:
        yield Turn("autoencoder", self.autoencoder_turn, ALWAYS)

    def autoencoder_turn(self, batch: Batch) -> Objective:
        mean, log_variance = self.encode(batch["image"])
        return self.evidence(batch["image"], mean, log_variance, self.decode(sampled(mean, log_variance)))

    def evidence(self, images: Tensor, mean: Tensor, log_variance: Tensor, reconstructed: Tensor) -> Objective:
        """The two terms of the negative evidence lower bound (ELBO).

        images, reconstructed: (N, C, H, W); mean, log_variance: (N, Z).
        """
        terms = {
            "reconstruction": self.distance(images, reconstructed),
            "kl": self.kl_weight * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1).mean() / 2,
        }
        return Objective(terms, {"mse": (images - reconstructed.detach()).square().mean()})

    def distance(self, images: Tensor, reconstructed: Tensor) -> Tensor:
        """() −log p(x|z) without its constant: half the squared distance from a picture to its reconstruction."""
        return half_square(images, reconstructed)

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(N, C, H, W) -> (N, Z) means and (N, Z) log variances, float32."""
        mean, log_variance = self.autoencoder["encoder"](images).float().chunk(2, dim=1)
        return mean, log_variance

    def decode(self, latents: Tensor) -> Tensor:
        """(N, Z) latents -> (N, C, H, W) images in [-1, 1]."""
        return self.autoencoder["generator"](latents)

    def ema_module(self) -> nn.Module:
        return self.autoencoder

    def draw(self, count: int, labels: Sequence[int] | None = None) -> Batch:
        if labels is not None:
            raise ValueError(f"labels={list(labels)}: this model is unconditional and cannot be asked for a class")
        return {"latent": self.prior(count, torch.device("cpu"))}

    def truncated(self, drawn: Batch, truncation: float) -> Batch:
        return {**drawn, "latent": truncated_latents(self.latent, drawn["latent"], truncation)}

    def prior(self, count: int, device: torch.device) -> Tensor:
        """(count, Z) noise."""
        return self.latent.sample(count, device)  # type: ignore[operator]

    def examples(self, batch: Batch, count: int) -> Batch:
        images = batch["image"][:count]
        return {"image": images, **self.draw(len(images))}

    def render(self, examples: Batch) -> Tensor:
        return self.decode(examples["latent"])

    def panels(self, examples: Batch) -> dict[str, Tensor]:
        """Three batches: pictures, their reconstructions, and samples from the prior, unrelated to the pictures."""
        picture = examples["image"]
        return {"input": picture, "decoded": self.reconstruct(picture), "sample": self.render(examples)}

    def reconstruct(self, images: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W), decoded from the mean of q(z|x)."""
        return self.decode(self.encode(images)[0])


def sampled(mean: Tensor, log_variance: Tensor) -> Tensor:
    """(N, Z), (N, Z) -> (N, Z) z = μ + σ ε, ε ~ N(0, 1): the reparameterization trick, so gradients reach μ and σ."""
    return mean + (log_variance / 2).exp() * torch.randn_like(mean)


def half_square(one: Tensor, other: Tensor) -> Tensor:
    """Twice (N, ...) -> () ½ |one − other|², summed over each item and averaged over the batch."""
    return (one.float() - other.float()).square().flatten(1).sum(1).mean() / 2
