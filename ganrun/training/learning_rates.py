"""The learning rate of each player, and its betas, at every step of a run."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor
from torch.optim import Optimizer

from ganrun.common.schedules import Schedule


class LearningRates:
    """A player's first learning rate times its schedule's factor, halved once for each setback.

    A setback is a return to an earlier checkpoint. A schedule may also move the second of Adam's betas. A system with
    phases multiplies the rates by a factor of its own (`System.rate_factors`).
    """

    def __init__(self, optimizers: Mapping[str, Optimizer], schedules: Mapping[str, Schedule]) -> None:
        self.optimizers, self.schedules = dict(optimizers), dict(schedules)
        self.first = {player: float(one.param_groups[0]["lr"]) for player, one in self.optimizers.items()}
        self.setbacks = 0

    def set(self, progress: float, factors: Mapping[str, float] | None = None) -> None:
        """Give the optimizers their rates at `progress`, 0 at the run's start and 1 at its end.

        factors: {player: what its rate is multiplied by}.
        """
        factors = factors or {}
        for player, schedule in self.schedules.items():
            if not schedule.needs_an_end and not self.setbacks and player not in factors:
                continue  # constant: nothing to write
            rate = self.first[player] * schedule.factor(progress) * 0.5**self.setbacks * factors.get(player, 1.0)
            beta2 = schedule.beta2(progress)
            for group in self.optimizers[player].param_groups:
                if beta2 is not None:
                    group["betas"] = (group["betas"][0], beta2)
                if isinstance(group["lr"], Tensor):  # CUDA graphs read it from there
                    group["lr"].fill_(rate)
                else:
                    group["lr"] = rate
