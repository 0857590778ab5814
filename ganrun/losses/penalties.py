"""Penalties: terms of the discriminator besides its loss. Each works with any loss."""

from __future__ import annotations

import contextlib
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ganrun.common.bounds import Decay, Setting, Weight
from ganrun.common.renamed import add_earlier_names
from ganrun.losses.discriminate import Discriminate

Score = Discriminate  # its name in earlier versions


class Scored(NamedTuple):
    """What a penalty may look at: the discriminator, with labels bound, and the two forward passes just made."""

    discriminate: Discriminate
    real: Tensor  # (N, C, H, W)
    fake: Tensor  # (N, C, H, W), cut from the generator
    real_logits: Tensor  # (N,) float32, or (N / m,) of packs
    fake_logits: Tensor  # (N,) float32, or (N / m,) of packs

    @property
    def score(self) -> Discriminate:
        """The earlier name of `discriminate`."""
        return self.discriminate


class Penalty(nn.Module):
    """`weight` times a measure of the discriminator. At every `every`-th step it is `every` times as strong.

    Lazy regularisation (Karras et al., 2020): the mean over `every` steps stays the same.
    Raises ValueError when `every` is below 1 or `weight` negative.
    """

    refuses_coupling = True  # it needs each image's own gradient, differentiable: BatchNorm would mix the images
    autocast = False  # see `compute_in_autocast`
    differentiates: tuple[str, ...] = ()  # "real", "fake": the images whose forward pass is reused for their gradient

    def __init__(self, weight: Weight, every: Setting = 1) -> None:
        super().__init__()
        if every < 1:
            raise ValueError(f"{type(self).__name__}: every={every}, but a penalty acts at every 1st, 2nd, … step")
        if weight < 0:
            raise ValueError(
                f"{type(self).__name__}: a weight of {weight} rewards what it should punish; use 0 or more"
            )
        self.weight, self.every = weight, every

    def __init_subclass__(cls, **settings: Any) -> None:
        super().__init_subclass__(**settings)
        add_earlier_names(cls, {"per_image": "refuses_coupling"})

    def compute_in_autocast(self, yes: bool) -> None:
        """Whether the discriminator computes as autocast says, or in float32. Squares and means are always float32."""
        self.autocast = yes

    def active(self, step: int) -> bool:
        return step % self.every == 0

    def forward(self, scored: Scored) -> Tensor:
        """() the term that is added to the discriminator's loss at an active step."""
        return self.weight * self.every * self.measure(scored)

    def measure(self, scored: Scored) -> Tensor:
        """() the paper's expression, without its weight."""
        raise NotImplementedError


def autocasting(images: Tensor) -> bool:
    """Whether autocast is on for the device of the images. False on meta, where nothing is computed."""
    return not images.is_meta and torch.is_autocast_enabled(images.device.type)


def gradients(discriminate: Discriminate, images: Tensor, logits: Tensor | None = None, keep: bool = False) -> Tensor:
    """(N, C, H, W) images -> (N, C·H·W) ∇D(x) of each image, float32, with a graph; (N/m, m·C·H·W) of each pack of m.

    Reuses the forward pass that made `logits`. Under autocast the discriminator judges the images once more, in
    float32, unless `keep` is true: then ∇D has bfloat16's 1 % of noise, as all other gradients have there.
    """
    exact = autocasting(images) and not keep
    with torch.autocast(images.device.type, enabled=False) if exact else contextlib.nullcontext():
        if logits is None or exact:
            images = images.detach().float().requires_grad_()
            logits = discriminate(images)
        judged = count_judged(images, logits)
        # D(x) is the mean of a map of logits, where the discriminator gives a map
        (gradient,) = torch.autograd.grad(logits.mean() * judged, images, create_graph=True)
    return gradient.reshape(judged, -1).float()


def count_judged(images: Tensor, logits: Tensor) -> int:
    """How many things got a logit, or a map of them: as many as there are images; packs, where images are packed."""
    return len(logits) if logits.ndim and len(images) % len(logits) == 0 else len(images)


def uniform(scored: Scored) -> Tensor:
    """(N, 1, 1, 1) ~ U[0, 1], one for each image. The images of a pack share one, because the pack is the sample."""
    judged = count_judged(scored.real, scored.real_logits)
    drawn = torch.rand(judged, 1, 1, 1, device=scored.real.device)
    return drawn.repeat_interleave(len(scored.real) // judged, 0)


class GradientPenalty(Penalty):
    """E (|∇D(x̂)| − center)², x̂ anywhere between a real and a fake (Gulrajani et al., 2017, equation 3)."""

    def __init__(self, weight: Weight = 10.0, every: Setting = 1, center: Weight = 1.0) -> None:
        super().__init__(weight, every)
        self.center = center

    def measure(self, scored: Scored) -> Tensor:
        epsilon = uniform(scored)
        x = epsilon * scored.real + (1 - epsilon) * scored.fake
        return (gradients(scored.discriminate, x, keep=self.autocast).norm(dim=1) - self.center).square().mean()


class Dragan(Penalty):
    """E (|∇D(x + αδ)| − 1)², x real (Kodali et al., 2017); α ~ U[0, 1] per image, δ = std(x)/2 · U[0, 1] per pixel."""

    def __init__(self, weight: Weight = 10.0, every: Setting = 1) -> None:
        super().__init__(weight, every)

    def measure(self, scored: Scored) -> Tensor:
        alpha = uniform(scored)
        delta = 0.5 * scored.real.std() * torch.rand_like(scored.real)
        x = scored.real + alpha * delta
        return (gradients(scored.discriminate, x, keep=self.autocast).norm(dim=1) - 1).square().mean()


class R1(Penalty):
    """γ/2 E |∇D(x)|² on reals (Mescheder et al., 2018, equation 9)."""

    differentiates = ("real",)

    def __init__(self, gamma: Weight, every: Setting = 1) -> None:
        super().__init__(gamma, every)

    def measure(self, scored: Scored) -> Tensor:
        return gradients(scored.discriminate, scored.real, scored.real_logits, self.autocast).square().sum(1).mean() / 2


class R2(Penalty):
    """γ/2 E |∇D(G(z))|² on fakes (Mescheder et al., 2018, equation 10)."""

    differentiates = ("fake",)

    def __init__(self, gamma: Weight, every: Setting = 1) -> None:
        super().__init__(gamma, every)

    def measure(self, scored: Scored) -> Tensor:
        return gradients(scored.discriminate, scored.fake, scored.fake_logits, self.autocast).square().sum(1).mean() / 2


class LeCam(Penalty):
    """E (D(x) − α_F)² + E (D(G(z)) − α_R)², α the running means of D's logits (Tseng et al., 2021).

    The means start at 0, where an untrained discriminator's logits are, and are saved with the loss.
    """

    refuses_coupling = False
    average_real: Tensor  # α_R, ()
    average_fake: Tensor  # α_F, ()

    def __init__(self, weight: Weight = 0.3, every: Setting = 1, decay: Decay = 0.99) -> None:
        super().__init__(weight, every)
        if not 0 <= decay < 1:
            raise ValueError(f"LeCam: decay={decay}, but a running mean decays by 0 or more and less than 1")
        self.decay = decay
        self.register_buffer("average_real", torch.zeros(()))
        self.register_buffer("average_fake", torch.zeros(()))

    def measure(self, scored: Scored) -> Tensor:
        real, fake = scored.real_logits, scored.fake_logits
        self.average_real.lerp_(real.detach().mean(), 1 - self.decay)
        self.average_fake.lerp_(fake.detach().mean(), 1 - self.decay)
        return (real - self.average_fake).square().mean() + (fake - self.average_real).square().mean()
