"""Real-ESRGAN: restoring and enlarging real pictures, by content first, then also adversarially (Wang et al., 2021)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, cast

from torch import Tensor, nn

from ganrun.common.bounds import At, Natural, Share, Weight
from ganrun.losses.loss import AdversarialLoss
from ganrun.losses.objective import Objective
from ganrun.systems.roles import Role
from ganrun.systems.srgan import SRGAN
from ganrun.systems.system import ALWAYS, Batch, Turn
from ganrun.systems.translation import Translation, take

LEARNER = "perceptual"  # the player that learns the features of the distance


class RealSR(SRGAN):
    """w_c · |x − G(y)| first, then w_c · |x − G(y)| + w_p · d(x, G(y)) + w · l_adversarial; 1, 1 and .1 in the paper.

    pretrain_steps: steps of the content phase, in which only the generator moves. None: `pretrain_share` of the run,
    for runs whose number of steps is not known beforehand. In the adversarial phase the learning rates are multiplied
    by `adversarial_rate`: the paper's are 2e-4, then 1e-4.
    perceptual: the name of `distance`, a module d (images, images) -> (). One with a method `learning`, images -> ()
    loss, is a player of its own: it learns in the content phase, and in the adversarial phase it stays as it is.
    """

    for_the_wild = True
    yaml_only: ClassVar[tuple[str, ...]] = ("size", "network", "networks", "chosen", "features")

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        loss: AdversarialLoss,
        content: nn.Module,
        pretrain_share: Share = 0.5,
        pretrain_steps: Natural | None = None,
        adversarial_rate: Annotated[float, At(above=0)] = 0.5,
        content_weight: Weight = 1.0,
        adversarial_weight: Weight = 0.1,
        perceptual: str = "none",
        distance: nn.Module | None = None,
        perceptual_weight: Weight = 1.0,
    ) -> None:
        super().__init__(generator, discriminator, loss, content, 0, adversarial_weight, None, perceptual_weight)
        self.share, self.steps, self.adversarial_rate = pretrain_share, pretrain_steps, adversarial_rate
        self.content_weight, self.learns = content_weight, hasattr(distance, "learning")
        if distance is not None and not self.learns:
            distance.requires_grad_(False)
        # under its name: errors then name its key, and a checkpoint with another distance is seen to lack this one
        self.features = nn.ModuleDict({} if distance is None else {perceptual: distance})
        self.progress = 1.0  # before a run says where it is, a step is one of the adversarial phase

    @property
    def distance(self) -> nn.Module | None:
        return next(iter(self.features.values()), None)

    def players(self) -> dict[str, nn.Module]:
        return {**super().players(), **({LEARNER: cast(nn.Module, self.distance)} if self.learns else {})}

    def role(self, player: str) -> Role:
        return Role.OTHER if player == LEARNER else super().role(player)

    def remarks(self, steps: int | None) -> list[str]:
        found = Translation.remarks(self, steps)
        if steps is not None and self.steps is not None and steps <= self.steps:
            found.append(
                f"the whole run of {steps:,} steps is the content phase (model.pretrain_steps={self.steps}): "
                "loss= has no effect"
            )
        if self.learns and not (self.share if self.steps is None else self.steps):
            found.append(
                "model.perceptual=own learns its features in the content phase, and this run has none: "
                "they are those of init_from=, or random"
            )
        return found

    def follows_progress(self) -> list[str]:
        return [*super().follows_progress(), *(["model.pretrain_share"] if self.steps is None else [])]

    def at_progress(self, progress: float) -> None:
        super().at_progress(progress)
        self.progress = progress

    def in_content_phase(self, step: int) -> bool:
        return self.progress < self.share if self.steps is None else step < self.steps

    def rate_factors(self, step: int) -> dict[str, float]:
        return dict.fromkeys(self.players(), 1.0 if self.in_content_phase(step) else self.adversarial_rate)

    def turns(self, step: int) -> Iterator[Turn]:
        if not self.in_content_phase(step):
            yield from Translation.turns(self, step)
            return
        yield Turn("generator", self.pretraining_turn, "pretraining")
        if self.learns:
            yield Turn(LEARNER, self.learning_turn, ALWAYS)

    def pretraining_turn(self, batch: Batch) -> Objective:
        objective = super().pretraining_turn(batch)
        return Objective({"content": self.content_weight * objective.terms["content"]}, objective.monitors)

    def learning_turn(self, batch: Batch) -> Objective:
        return Objective({"denoising": cast(nn.Module, self.distance).learning(take(batch, "target")["target"])})  # type: ignore[operator]

    def distances(self, fake: Tensor, target: Tensor) -> dict[str, Tensor]:
        terms = {"content": self.content_weight * self.content(fake.float(), target)}
        if self.distance is not None:
            terms["perceptual"] = self.perceptual_weight * self.distance(fake, target)
        return terms
