"""AdversarialLoss: what each player minimises, a function of the discriminator's logits."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import cast

from torch import Tensor, nn
from torch.optim import Optimizer

from ganrun.common.bounds import Count
from ganrun.losses.discriminate import Discriminate, OnePass
from ganrun.losses.objective import Objective
from ganrun.losses.penalties import Penalty, Scored, autocasting


class AdversarialLoss(nn.Module):
    """Two formulas over logits, and the discriminator's penalties.

    A loss gets `discriminate`, the discriminator with its labels bound. In both turns it judges reals first, then
    fakes, in separate forward passes: BatchNorm must not mix their statistics. One that does not couple the images of
    a batch (`OnePass`) judges both in one pass. Formulas see float32 logits.

    `penalties` are named, and the name becomes the term's; in a sequence each takes its class's name in lower case.
    The generator moves at every `discriminator_steps`-th step. Raises ValueError when that is below 1, or when two
    terms would share a name.
    """

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

    def discriminator_objective(
        self, discriminate: Discriminate, real: Tensor, fake: Tensor, step: int = 0
    ) -> Objective:
        """(N, C, H, W) reals and fakes -> "adversarial" and one term for each penalty active at `step`."""
        penalties = self.active(step)
        real, fake = leaves(real, fake, penalties)
        real_logits, fake_logits = self.logits(discriminate, real, fake)
        terms = {"adversarial": self.discriminator(real_logits, fake_logits)}
        scored = Scored(discriminate, real, fake, real_logits, fake_logits)
        terms |= {name: penalty(scored) for name, penalty in penalties.items()}
        return Objective(terms, self.monitors(real_logits.detach(), fake_logits.detach()))

    def logits(self, discriminate: Discriminate, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """(N, C, H, W) reals and fakes -> float32 logits of each, from two passes, or from one of `OnePass`."""
        if isinstance(discriminate, OnePass) and not (real.requires_grad or fake.requires_grad):
            real_logits, fake_logits = discriminate.both(real, fake)
        else:  # also where a penalty needs the reals' own pass
            real_logits, fake_logits = discriminate(real), discriminate(fake)
        return real_logits.float(), fake_logits.float()

    def active(self, step: int) -> dict[str, Penalty]:
        """The penalties that are added at a step."""
        return {name: penalty for name, penalty in self.named_penalties() if penalty.active(step)}

    def graph_key(self, step: int) -> Hashable | None:
        """Equal for steps at which `discriminator_objective` runs the same operations: it depends on the penalties.

        None where a subclass has a `discriminator_objective` of its own and no `graph_key`: nothing is known of it.
        """
        own, ours = type(self), AdversarialLoss
        if own.discriminator_objective is not ours.discriminator_objective and own.graph_key is ours.graph_key:
            return None
        return tuple(self.active(step))

    def generator_objective(self, discriminate: Discriminate, fake: Tensor, real: Tensor) -> Objective:
        """(N, C, H, W) fakes with the generator's graph, and reals, which only a relativistic loss needs."""
        return Objective({"adversarial": self.generator(discriminate(fake).float())})

    def constrain(self, discriminator: nn.Module) -> None:
        """Called after each optimizer step of the discriminator, to clip its weights."""

    def at_progress(self, progress: float) -> None:
        """Called before each step: moves the weights of the penalties that follow the run's progress, 0 to 1."""
        for _, penalty in self.named_penalties():
            penalty.at_progress(progress)

    def remarks(self, optimizer: Optimizer) -> list[str]:
        """What the loss's paper says about this optimizer of the discriminator or these settings, a line each."""
        return []

    @property
    def refuses_coupling(self) -> bool:
        """Whether a penalty needs each image's own gradient, which BatchNorm in the discriminator would falsify."""
        return any(penalty.refuses_coupling for _, penalty in self.named_penalties())

    @property
    def per_image(self) -> bool:
        """The earlier name of `refuses_coupling`."""
        return self.refuses_coupling

    def monitors(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """(N,) detached logits -> what is logged besides the terms; stays on the device."""
        boundary = self.boundary(real, fake)
        accuracy = ((real > boundary).float().mean() + (fake < boundary).float().mean()) / 2
        return {"real_logit": real.mean(), "fake_logit": fake.mean(), "accuracy": accuracy}

    def named_penalties(self) -> list[tuple[str, Penalty]]:
        return [(name, cast(Penalty, penalty)) for name, penalty in self.penalties.items()]


def joint_key(*keys: Hashable | None) -> Hashable | None:
    """The graph key of several losses together; None where one of them has none."""
    return None if any(key is None for key in keys) else keys


def leaves(real: Tensor, fake: Tensor, penalties: Mapping[str, Penalty]) -> tuple[Tensor, Tensor]:
    """Detach the images; they require a gradient only where a penalty reuses the forward pass."""
    exact = autocasting(real)  # then the penalties judge again in float32, but for those that compute in autocast
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
