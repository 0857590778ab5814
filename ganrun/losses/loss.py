"""AdversarialLoss: the base class of losses, which turn the discriminator's logits into what each player minimises."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import cast

from torch import Tensor, nn
from torch.optim import Optimizer

from ganrun.common.bounds import Count
from ganrun.losses.discriminate import Discriminate, OnePass
from ganrun.losses.objective import Objective
from ganrun.losses.penalties import Penalty, Scored, autocasting, rows_of_images


class AdversarialLoss(nn.Module):
    """Two formulas of logits, one for each player, and the penalties of the discriminator.

    The formulas get float32 logits. `discriminate` is the discriminator as a function of images alone: a
    class-conditional one already has its labels. It is called with the reals first and then with the fakes, in
    separate forward passes, because BatchNorm must not mix their statistics. `OnePass` allows a single pass for both.

    penalties: {name: penalty}; the name is also the name of the term in the objective. In a sequence, the name of a
    penalty is the name of its class in lower case.
    discriminator_steps: the generator moves only at every `discriminator_steps`-th step.
    Raises ValueError when `discriminator_steps` is below 1, or when two terms have the same name.
    """

    def __init__(
        self,
        penalties: Mapping[str, Penalty] | Sequence[Penalty] | None = None,
        discriminator_steps: Count = 1,
    ) -> None:
        super().__init__()
        if discriminator_steps < 1:
            raise ValueError(
                f"loss.discriminator_steps={discriminator_steps}: the discriminator moves at least once, use 1 or more"
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
        """The logit above which an image counts as judged real. It is used only for the accuracy in the logs."""
        return 0.0

    def discriminator_objective(
        self, discriminate: Discriminate, real: Tensor, fake: Tensor, step: int = 0
    ) -> Objective:
        """(N, C, H, W) reals and fakes -> the term "adversarial", and one term for each penalty active at `step`."""
        penalties = self.active(step)
        real, fake = leaves(real, fake, penalties)
        real_logits, fake_logits = self.logits(discriminate, real, fake)
        terms = {"adversarial": self.discriminator(real_logits, fake_logits)}
        scored = Scored(discriminate, real, fake, real_logits, fake_logits)
        terms |= {name: penalty(scored) for name, penalty in penalties.items()}
        monitors = self.monitors(real_logits.detach(), fake_logits.detach())
        return Objective(terms, monitors, rows_of_images(real, real_logits.detach()))

    def logits(self, discriminate: Discriminate, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """(N, C, H, W) reals and fakes -> float32 logits of each, in one forward pass where `OnePass` allows it."""
        if isinstance(discriminate, OnePass) and not (real.requires_grad or fake.requires_grad):
            real_logits, fake_logits = discriminate.both(real, fake)
        else:  # also when a penalty differentiates one of the two forward passes
            real_logits, fake_logits = discriminate(real), discriminate(fake)
        return real_logits.float(), fake_logits.float()

    def active(self, step: int) -> dict[str, Penalty]:
        """{name: penalty} of the penalties that are added at a step."""
        return {name: penalty for name, penalty in self.named_penalties() if penalty.active(step)}

    def graph_key(self, step: int) -> Hashable | None:
        """Two steps with equal keys run the same operations in `discriminator_objective`.

        They then share one CUDA graph. The key names the active penalties. It is None when a subclass overrides
        `discriminator_objective` but not `graph_key`, because nothing is then known about its operations.
        """
        own, base = type(self), AdversarialLoss
        if own.discriminator_objective is not base.discriminator_objective and own.graph_key is base.graph_key:
            return None
        return tuple(self.active(step))

    def generator_objective(self, discriminate: Discriminate, fake: Tensor, real: Tensor) -> Objective:
        """(N, C, H, W) fakes and reals -> the term "adversarial".

        A gradient flows from the fakes to the generator. Only a relativistic loss uses the reals.
        """
        return Objective({"adversarial": self.generator(discriminate(fake).float())})

    def constrain(self, discriminator: nn.Module) -> None:
        """Called after each optimizer step of the discriminator, to clip its weights."""

    def at_progress(self, progress: float) -> None:
        """Called before each step: moves the weights of the penalties that follow the run's progress, 0 to 1."""
        for _, penalty in self.named_penalties():
            penalty.at_progress(progress)

    def remarks(self, optimizer: Optimizer) -> list[str]:
        """Warnings for the user, one line each, when settings or the discriminator's optimizer go against the paper."""
        return []

    @property
    def refuses_coupling(self) -> bool:
        """Whether a penalty needs the gradient of each single image, which BatchNorm would falsify."""
        return any(penalty.refuses_coupling for _, penalty in self.named_penalties())

    @property
    def per_image(self) -> bool:
        """The earlier name of `refuses_coupling`."""
        return self.refuses_coupling

    def monitors(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """(N,) detached logits of reals and of fakes -> {name: ()} values to log, on the device of the logits."""
        boundary = self.boundary(real, fake)
        accuracy = ((real > boundary).float().mean() + (fake < boundary).float().mean()) / 2
        return {"real_logit": real.mean(), "fake_logit": fake.mean(), "accuracy": accuracy}

    def named_penalties(self) -> list[tuple[str, Penalty]]:
        return [(name, cast(Penalty, penalty)) for name, penalty in self.penalties.items()]


def joint_key(*keys: Hashable | None) -> Hashable | None:
    """The graph key of several losses together; None when one of the keys is None."""
    return None if any(key is None for key in keys) else keys


def leaves(real: Tensor, fake: Tensor, penalties: Mapping[str, Penalty]) -> tuple[Tensor, Tensor]:
    """Detaches the images. They require a gradient only when a penalty reuses their forward pass."""
    # under autocast, a penalty runs a forward pass of its own in float32, unless it computes in autocast itself
    exact = autocasting(real)
    reusing = [penalty for penalty in penalties.values() if penalty.autocast or not exact]
    reused = {images for penalty in reusing for images in penalty.differentiates}
    return real.detach().requires_grad_("real" in reused), fake.detach().requires_grad_("fake" in reused)


def named(penalties: Mapping[str, Penalty] | Sequence[Penalty]) -> dict[str, Penalty]:
    """The penalties by name. Raises ValueError when two terms have the same name."""
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
