"""Numbers that are not finite: turns that are skipped for their gradients, weights that are never saved."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING

from torch import nn
from torch.optim import Optimizer

from ganrun.training.tensors import finite, gradients_of

if TYPE_CHECKING:
    from ganrun.training.trainer import Trainer

log = logging.getLogger("ganrun")


class SkipGuard:
    """Skips a turn whose gradients are not finite numbers, at most `limit` turns in a row.

    0: gradients are not checked each step; a NaN is noticed at the next log or save.
    """

    def __init__(self, limit: int = 0) -> None:
        self.limit = limit
        self.in_a_row = 0

    def must_skip(self, player: str, optimizer: Optimizer, step: int) -> bool:
        """Waits for the device. Raises FloatingPointError at the `limit`-th skipped turn in a row."""
        if not self.limit:
            return False
        if math.isfinite(nn.utils.get_total_norm(gradients_of(optimizer)).item()):
            self.in_a_row = 0
            return False
        self.in_a_row += 1
        log.warning("step %d: a gradient of %s is no finite number: that turn is left out", step, player)
        if self.in_a_row >= self.limit:
            raise FloatingPointError(
                f"gradients of {player} were no finite numbers {self.in_a_row} times in a row, at step {step}: "
                "try a lower optimizer.lr, precision=fp32 if it was bf16, or a larger non_finite.limit"
            )
        return True


def has_broken_weights(trainer: Trainer) -> bool:
    """Whether a weight or running mean is not a finite number. Waits for the device."""
    return not (finite(trainer.system.state_dict()) and finite(trainer.average.state_dict()))


def refuse_broken_weights(trainer: Trainer) -> None:
    """Raises FloatingPointError where a weight or running mean is not a finite number. Waits for the device."""
    if not has_broken_weights(trainer):
        return
    of = [player for player, module in trainer.system.players().items() if not finite(module.state_dict())]
    raise FloatingPointError(
        f"a weight of {(of or ['the average'])[0]} is no finite number at step {trainer.step}, which is not saved: "
        "try a lower optimizer.lr, or precision=fp32 if it was bf16"
    )
