"""Penalties: terms that are added to the discriminator's loss. Each penalty works with any loss."""

from __future__ import annotations

import contextlib
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ganrun.common.bounds import Decay, Setting, Weight
from ganrun.common.renamed import add_earlier_names
from ganrun.common.schedules import half_cosine
from ganrun.losses.discriminate import Discriminate

Score = Discriminate  # the earlier name, which classes of users may import


class Scored(NamedTuple):
    """The input of a penalty: the discriminator, the images of the turn, and their logits."""

    discriminate: Discriminate
    real: Tensor  # (N, C, H, W)
    fake: Tensor  # (N, C, H, W), detached from the generator
    real_logits: Tensor  # (N,) float32, or (N / m,) of packs of m images
    fake_logits: Tensor  # (N,) float32, or (N / m,) of packs of m images

    @property
    def score(self) -> Discriminate:
        """The earlier name of `discriminate`."""
        return self.discriminate


class Penalty(nn.Module):
    """`weight` times `measure`, a property of the discriminator that the subclass defines.

    every: lazy regularization (Karras et al., 2020). The penalty acts only at every `every`-th step, and there it is
    multiplied by `every`, so that its mean over the steps stays the same.
    weight_end: the weight follows half a cosine to this value while the run's progress goes from 0 to 1.
    Raises ValueError when `every` is below 1 or a weight is negative.
    """

    refuses_coupling = True  # it needs the gradient of each single image: BatchNorm would mix the images
    autocast = False  # see `compute_in_autocast`
    differentiates: tuple[str, ...] = ()  # "real", "fake": it reuses their forward pass to differentiate by the images
    weight_end: float | None = None
    weight_now: Tensor  # () float32, where there is a weight_end: on the device, so that a recorded step reads it

    def __init__(self, weight: Weight, every: Setting = 1, weight_end: Weight | None = None) -> None:
        super().__init__()
        if every < 1:
            raise ValueError(f"{type(self).__name__}: every={every}, but it counts steps: use 1 or more")
        for given in (weight, weight_end or 0):
            if given < 0:
                raise ValueError(
                    f"{type(self).__name__}: a weight of {given} would reward what it should penalise; use 0 or more"
                )
        self.weight, self.every, self.weight_end = weight, every, weight_end
        if weight_end is not None:  # not saved: a function of the run's progress
            self.register_buffer("weight_now", torch.tensor(float(weight)), persistent=False)

    def __init_subclass__(cls, **settings: Any) -> None:
        super().__init_subclass__(**settings)
        add_earlier_names(cls, {"per_image": "refuses_coupling"})

    def compute_in_autocast(self, yes: bool) -> None:
        """Sets whether the penalty runs the discriminator under autocast, or in float32 (the default).

        Squares and means are always computed in float32.
        """
        self.autocast = yes

    def active(self, step: int) -> bool:
        """Whether the penalty acts at `step`; steps count from 0."""
        return step % self.every == 0

    @property
    def needs_an_end(self) -> bool:
        """Whether it follows the run's progress."""
        return self.weight_end is not None

    def at_progress(self, progress: float) -> None:
        """Called before each step, 0 at the run's start and 1 at the end of its schedules."""
        if self.weight_end is not None:
            self.weight_now.fill_(half_cosine(progress, self.weight, self.weight_end))

    def forward(self, scored: Scored) -> Tensor:
        """() the term that is added to the discriminator's loss at an active step."""
        weight = self.weight if self.weight_end is None else self.weight_now
        return weight * self.every * self.measure(scored)

    def measure(self, scored: Scored) -> Tensor:
        """() the paper's expression, without its weight."""
        raise NotImplementedError


def autocasting(images: Tensor) -> bool:
    """Whether autocast is on for the device of the images. False on the meta device, where nothing is computed."""
    return not images.is_meta and torch.is_autocast_enabled(images.device.type)


def gradients(discriminate: Discriminate, images: Tensor, logits: Tensor | None = None, keep: bool = False) -> Tensor:
    """(N, C, H, W) images -> (N, C·H·W) ∇D(x) of each image, float32; (N / m, m·C·H·W) of each pack of m images.

    The result can be differentiated again.

    logits: the discriminator's output for the images; their forward pass is reused. None: a new forward pass.
    Under autocast, the discriminator runs again in float32, because ∇D in bfloat16 has an error of about 1 %.
    keep: stay under autocast and accept this error.
    """
    exact = autocasting(images) and not keep
    with torch.autocast(images.device.type, enabled=False) if exact else contextlib.nullcontext():
        if logits is None or exact:
            images = images.detach().float().requires_grad_()
            logits = discriminate(images)
        judged = count_judged(images, logits)
        # when the discriminator returns a map of logits, D(x) of an image is the mean of its map
        (gradient,) = torch.autograd.grad(logits.mean() * judged, images, create_graph=True)
    return gradient.reshape(judged, -1).float()


def count_judged(images: Tensor, logits: Tensor) -> int:
    """The number of logits, or of maps of logits: one for each image, or one for each pack of images."""
    return len(logits) if logits.ndim and len(images) % len(logits) == 0 else len(images)


def rows_of_images(images: Tensor, logits: Tensor) -> Tensor:
    """(N, C, H, W), logits or maps of logits -> (N, ...) those of each image; the images of a pack share theirs."""
    pack = len(images) // count_judged(images, logits)
    return logits.repeat_interleave(pack, 0) if pack > 1 else torch.atleast_1d(logits)


def uniform(scored: Scored) -> Tensor:
    """(N, 1, 1, 1) ~ U[0, 1], one for each image. The images of a pack share one, because the pack is the sample."""
    judged = count_judged(scored.real, scored.real_logits)
    drawn = torch.rand(judged, 1, 1, 1, device=scored.real.device)
    return drawn.repeat_interleave(len(scored.real) // judged, 0)


class GradientPenalty(Penalty):
    """E (|∇D(x̂)| − center)², x̂ uniform on the line between a real and a fake (Gulrajani et al., 2017, equation 3)."""

    def __init__(self, weight: Weight = 10.0, every: Setting = 1, center: Weight = 1.0) -> None:
        super().__init__(weight, every)
        self.center = center

    def measure(self, scored: Scored) -> Tensor:
        epsilon = uniform(scored)
        x = epsilon * scored.real + (1 - epsilon) * scored.fake
        return (gradients(scored.discriminate, x, keep=self.autocast).norm(dim=1) - self.center).square().mean()


class Dragan(Penalty):
    """E (|∇D(x + αδ)| − 1)² on noisy reals x + αδ (Kodali et al., 2017).

    α ~ U[0, 1] for each image; δ = std(x)/2 · U[0, 1] for each pixel, with the standard deviation of the batch.
    """

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

    def __init__(self, gamma: Weight, every: Setting = 1, gamma_end: Weight | None = None) -> None:
        super().__init__(gamma, every, gamma_end)

    def measure(self, scored: Scored) -> Tensor:
        return gradients(scored.discriminate, scored.real, scored.real_logits, self.autocast).square().sum(1).mean() / 2


class R2(Penalty):
    """γ/2 E |∇D(G(z))|² on fakes (Mescheder et al., 2018, equation 10)."""

    differentiates = ("fake",)

    def __init__(self, gamma: Weight, every: Setting = 1, gamma_end: Weight | None = None) -> None:
        super().__init__(gamma, every, gamma_end)

    def measure(self, scored: Scored) -> Tensor:
        return gradients(scored.discriminate, scored.fake, scored.fake_logits, self.autocast).square().sum(1).mean() / 2


class LeCam(Penalty):
    """E (D(x) − α_F)² + E (D(G(z)) − α_R)² (Tseng et al., 2021).

    α_R and α_F are the running means of D's logits of reals and of fakes. They start at 0, because the logits of an
    untrained discriminator are near 0. Checkpoints contain them.
    decay: the factor by which the running means decay at each active step. Raises ValueError when it is not in [0, 1).
    """

    refuses_coupling = False
    average_real: Tensor  # α_R, ()
    average_fake: Tensor  # α_F, ()

    def __init__(self, weight: Weight = 0.3, every: Setting = 1, decay: Decay = 0.99) -> None:
        super().__init__(weight, every)
        if not 0 <= decay < 1:
            raise ValueError(f"LeCam: decay={decay}, but a running mean needs a decay of at least 0 and below 1")
        self.decay = decay
        self.register_buffer("average_real", torch.zeros(()))
        self.register_buffer("average_fake", torch.zeros(()))

    def measure(self, scored: Scored) -> Tensor:
        real, fake = scored.real_logits, scored.fake_logits
        self.average_real.lerp_(real.detach().mean(), 1 - self.decay)
        self.average_fake.lerp_(fake.detach().mean(), 1 - self.decay)
        return (real - self.average_fake).square().mean() + (fake - self.average_real).square().mean()


class Consistency(Penalty):
    """E (D(x) − D(T(x)))² + E (D(G(z)) − D(T(G(z))))²: bCR (Zhao et al., 2021, algorithm 1); `augmentation` is T.

    Both weights of the paper are this one (its own are 10 and 10). Reals alone would push T into the samples.
    """

    refuses_coupling = False

    def __init__(self, augmentation: nn.Module, weight: Weight = 10.0, every: Setting = 1) -> None:
        super().__init__(weight, every)
        self.augmentation = augmentation

    def measure(self, scored: Scored) -> Tensor:
        pairs = (scored.real, scored.real_logits), (scored.fake, scored.fake_logits)
        changes = [logits - scored.discriminate(self.augmentation(images.detach())).float() for images, logits in pairs]
        return changes[0].square().mean() + changes[1].square().mean()
