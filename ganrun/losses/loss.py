"""AdversarialLoss: what each player wants of the discriminator's logits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ganrun.common.bounds import Count
from ganrun.losses.objective import Objective
from ganrun.losses.penalties import Penalty, Score, Scored, autocasting


class AdversarialLoss(nn.Module):
    """Two formulas over logits, and the discriminator's penalties.

    A loss is handed `score`, the discriminator with its condition already bound. In both turns reals are scored first,
    then fakes, in separate forward passes: BatchNorm must not mix their statistics. Formulas see float32 logits.

    `penalties` are named, and the name becomes the term's; in a sequence each takes its class's name in lower case.
    A system whose discriminator sees each image by itself may set `together`: reals and fakes then share one pass.
    The generator moves at every `discriminator_steps`-th step. Raises ValueError when that is below 1, or when two
    terms would share a name.
    """

    together = False

    def __init__(
        self,
        penalties: Mapping[str, Penalty] | Sequence[Penalty] | None = None,
        discriminator_steps: Count = 1,
    ) -> None:
        super().__init__()
        if discriminator_steps < 1:
            raise ValueError(
                f"loss.discriminator_steps={discriminator_steps}, but the discriminator moves at least once"
            )
        self.penalties = nn.ModuleDict(named(penalties or {}))
        self.discriminator_steps = discriminator_steps

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """(N,) logits of reals and of fakes -> () what the discriminator minimises."""
        raise NotImplementedError

    def generator(self, fake: Tensor) -> Tensor:
        """(N,) logits of fakes -> () what the generator minimises."""
        raise NotImplementedError

    def boundary(self, real: Tensor, fake: Tensor) -> Tensor | float:
        """The logit above which the discriminator says "real"; only its accuracy is measured with it."""
        return 0.0

    def discriminator_objective(self, score: Score, real: Tensor, fake: Tensor, step: int = 0) -> Objective:
        """(N, C, H, W) reals and fakes -> "adversarial" and one term for each penalty active at `step`."""
        penalties = self.active(step)
        real, fake = leaves(real, fake, penalties)
        real_logits, fake_logits = self.logits(score, real, fake)
        terms = {"adversarial": self.discriminator(real_logits, fake_logits)}
        scored = Scored(score, real, fake, real_logits, fake_logits)
        terms |= {name: penalty(scored) for name, penalty in penalties.items()}
        return Objective(terms, self.monitors(real_logits.detach(), fake_logits.detach()))

    def logits(self, score: Score, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """(N, C, H, W) reals and fakes -> float32 logits of each, from two passes or, if `together`, from one."""
        if not self.together or real.requires_grad or fake.requires_grad:  # a penalty wants the reals' own pass
            real_logits = score(real).float()
            return real_logits, score(fake).float()
        both = score(torch.cat([real, fake.to(real.dtype)])).float()
        return both[: len(real)], both[len(real) :]

    def active(self, step: int) -> dict[str, Penalty]:
        """The penalties that count at a step."""
        return {name: penalty for name, penalty in self.named_penalties() if penalty.active(step)}

    def generator_objective(self, score: Score, fake: Tensor, real: Tensor) -> Objective:
        """(N, C, H, W) fakes with the generator's graph, and reals that only a relativistic loss looks at."""
        return Objective({"adversarial": self.generator(score(fake).float())})

    def constrain(self, discriminator: nn.Module) -> None:
        """Called after each step of the discriminator: bring its weights back to where they may be."""

    def remarks(self, optimizer: Optimizer) -> list[str]:
        """What its paper says of such an optimizer of the discriminator, or of such settings, a line each."""
        return []

    @property
    def per_image(self) -> bool:
        """Whether a penalty needs each image's own gradient, which BatchNorm in the discriminator would falsify."""
        return any(penalty.per_image for _, penalty in self.named_penalties())

    def monitors(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """(N,) detached logits -> what is worth seeing; stays on the device."""
        boundary = self.boundary(real, fake)
        accuracy = ((real > boundary).float().mean() + (fake < boundary).float().mean()) / 2
        return {"real_logit": real.mean(), "fake_logit": fake.mean(), "accuracy": accuracy}

    def named_penalties(self) -> list[tuple[str, Penalty]]:
        return [(name, cast(Penalty, penalty)) for name, penalty in self.penalties.items()]


def leaves(real: Tensor, fake: Tensor, penalties: Mapping[str, Penalty]) -> tuple[Tensor, Tensor]:
    """Cut the images from whatever made them; ask for their gradient only where a penalty reuses the forward pass."""
    exact = autocasting(real)  # then the penalties score again, in float32, but for those that need not
    reusing = [penalty for penalty in penalties.values() if penalty.autocast or not exact]
    reused = {images for penalty in reusing for images in penalty.differentiates}
    return real.detach().requires_grad_("real" in reused), fake.detach().requires_grad_("fake" in reused)


def named(penalties: Mapping[str, Penalty] | Sequence[Penalty]) -> dict[str, Penalty]:
    pairs = (
        list(penalties.items())
        if isinstance(penalties, Mapping)
        else [(type(penalty).__name__.lower(), penalty) for penalty in penalties]
    )
    names = ["adversarial", *(name for name, _ in pairs)]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"loss.penalties: two terms are called '{name}'; give the penalty a name of its own")
    return dict(pairs)
