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


def remedies(bf16: bool) -> str:
    """Overrides that may help against numbers that are not finite. float32 helps only a run that uses bf16."""
    return "a lower optimizer.lr" + (", or precision=fp32" if bf16 else "")


class SkipGuard:
    """Skips a turn whose gradients are not finite numbers, at most `limit` turns in a row.

    0: gradients are not checked each step; a NaN is noticed at the next log or save. `bf16`: the run uses bf16.
    """

    def __init__(self, limit: int = 0, bf16: bool = False) -> None:
        self.limit, self.bf16 = limit, bf16
        self.in_a_row = 0

    def must_skip(self, player: str, optimizer: Optimizer, step: int) -> bool:
        """Waits for the device. Raises FloatingPointError at the `limit`-th skipped turn in a row."""
        if not self.limit:
            return False
        if math.isfinite(nn.utils.get_total_norm(gradients_of(optimizer)).item()):
            self.in_a_row = 0
            return False
        self.in_a_row += 1
        log.warning("step %d: a gradient of %s is not a finite number: this turn is skipped", step, player)
        if self.in_a_row >= self.limit:
            raise FloatingPointError(
                f"gradients of {player} were not finite numbers {self.in_a_row} times in a row, at step {step}: "
                f"try {remedies(self.bf16)}, or a larger non_finite.limit"
            )
        return True


def has_broken_weights(trainer: Trainer) -> bool:
    """Whether a weight or running mean is not a finite number. Waits for the device."""
    return not (finite(trainer.system.state_dict()) and finite(trainer.average.state_dict()))


def refuse_broken_weights(trainer: Trainer) -> None:
    """Raises FloatingPointError if a weight or running mean is not a finite number. Waits for the device."""
    if not has_broken_weights(trainer):
        return
    of = [player for player, module in trainer.system.players().items() if not finite(module.state_dict())]
    raise FloatingPointError(
        f"a weight of {(of or ['the average'])[0]} is not a finite number at step {trainer.step}, which is not saved: "
        f"try {remedies(trainer.settings.bf16)}"
    )
