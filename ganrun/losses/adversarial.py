"""Losses in which each logit counts by itself: minimax, non-saturating, least squares, hinge, Wasserstein."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from ganrun.common.bounds import Count, Decay, Positive
from ganrun.losses.loss import AdversarialLoss
from ganrun.losses.penalties import Penalty

# With D(x) = sigmoid(logit):  log D = -softplus(-logit)  and  log(1 - D) = -softplus(logit).


class Minimax(AdversarialLoss):
    """min_G max_D E log D(x) + E log(1 − D(G(z))) (Goodfellow et al., 2014, equation 1).

    smoothing: s in one-sided label smoothing, where the label of reals is 1 − s (Salimans et al., 2016, section 3.4).
    Raises ValueError when `smoothing` is not in [0, 1).
    """

    def __init__(
        self,
        penalties: Mapping[str, Penalty] | Sequence[Penalty] | None = None,
        discriminator_steps: Count = 1,
        smoothing: Decay = 0.0,
    ) -> None:
        super().__init__(penalties, discriminator_steps)
        if not 0 <= smoothing < 1:
            raise ValueError(f"loss.smoothing={smoothing}, but the label of reals is 1 - smoothing: use 0 to below 1")
        self.smoothing = smoothing

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        s = self.smoothing
        return ((1 - s) * F.softplus(-real) + s * F.softplus(real)).mean() + F.softplus(fake).mean()

    def generator(self, fake: Tensor) -> Tensor:
        return -F.softplus(fake).mean()


class NonSaturating(Minimax):
    """Minimax, in which the generator minimises −E log D(G(z)) (Goodfellow et al., 2014, section 3)."""

    def generator(self, fake: Tensor) -> Tensor:
        return F.softplus(-fake).mean()


class LeastSquares(AdversarialLoss):
    """D: ½ E (D(x) − b)² + ½ E (D(G(z)) − a)²; G: ½ E (D(G(z)) − c)² (Mao et al., 2017, eq. 9); a = 0, b = c = 1."""

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return (real - 1).square().mean() / 2 + fake.square().mean() / 2

    def generator(self, fake: Tensor) -> Tensor:
        return (fake - 1).square().mean() / 2

    def boundary(self, real: Tensor, fake: Tensor) -> float:
        return 0.5  # halfway from a to b


class Hinge(AdversarialLoss):
    """D: E max(0, 1 − D(x)) + E max(0, 1 + D(G(z))); G: −E D(G(z)) (Lim and Ye, 2017; Miyato et al., 2018)."""

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return F.relu(1 - real).mean() + F.relu(1 + fake).mean()

    def generator(self, fake: Tensor) -> Tensor:
        return -fake.mean()


class Wasserstein(AdversarialLoss):
    """max_D E D(x) − E D(G(z)) (Arjovsky et al., 2017, algorithm 1).

    clip: after each step, every weight of D is clipped to [−clip, clip]. None: no clipping, for use with a penalty that
    bounds D's gradient. Raises ValueError when `clip` is not positive.
    """

    def __init__(
        self,
        penalties: Mapping[str, Penalty] | Sequence[Penalty] | None = None,
        discriminator_steps: Count = 1,
        clip: Positive | None = None,
    ) -> None:
        super().__init__(penalties, discriminator_steps)
        if clip is not None and clip <= 0:
            raise ValueError(
                f"loss.clip={clip}: weights are clipped to [-clip, clip], so use a positive number or null"
            )
        self.clip = clip

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return fake.mean() - real.mean()

    def generator(self, fake: Tensor) -> Tensor:
        return -fake.mean()

    @torch.no_grad()
    def constrain(self, discriminator: nn.Module) -> None:
        if self.clip is not None:
            weights: list[Tensor] = list(discriminator.parameters())
            torch._foreach_clamp_min_(weights, -self.clip)
            torch._foreach_clamp_max_(weights, self.clip)

    def remarks(self, optimizer: Optimizer) -> list[str]:
        """Section 4 of the paper: with clipped weights, momentum (Adam with β1 above 0) makes training unstable."""
        if self.clip is None and not len(self.penalties):
            return ["loss.clip=null without penalties: nothing bounds the discriminator; use loss=wgan or loss=wgan_gp"]
        momentum = momentum_of(optimizer)
        if self.clip is None or not momentum:
            return []
        name = type(optimizer).__name__
        return [
            f"the WGAN paper advises against momentum for clipped weights, and {name} has {momentum:g}: "
            "use optimizer=paper/wgan"
        ]

    def boundary(self, real: Tensor, fake: Tensor) -> Tensor:
        return (real.mean() + fake.mean()) / 2  # the loss ignores a constant added to D, so 0 is no boundary

    def monitors(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """Adds "gap", E D(x) − E D(G(z)): an estimate of the Wasserstein distance times D's Lipschitz constant."""
        return {**super().monitors(real, fake), "gap": real.mean() - fake.mean()}


def momentum_of(optimizer: Optimizer) -> float:
    """Adam's β1, or the momentum of SGD or RMSprop; 0 for an optimizer that has neither."""
    group = optimizer.param_groups[0]
    betas = group.get("betas")
    return float(betas[0] if betas else group.get("momentum", 0.0))
