"""Objective: what a player's turn returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor


@dataclass
class Objective:
    """`terms` are scalars that are summed and minimised; `monitors` are detached scalars that are only logged.

    `real_logits` are (N,) the discriminator's logits of reals, in its own turns, for an augmentation that adapts.
    """

    terms: dict[str, Tensor]
    monitors: dict[str, Tensor] = field(default_factory=dict)
    real_logits: Tensor | None = None

    @property
    def total(self) -> Tensor:
        """() the sum of the terms: the number this turn minimises."""
        terms = list(self.terms.values())
        return sum(terms[1:], start=terms[0])


def side_by_side(objectives: Mapping[str, Objective]) -> Objective:
    """The terms and monitors of several objectives as adversarial_a, adversarial_b, ..."""
    joint = Objective({})
    for of, objective in objectives.items():
        joint.terms |= {f"{name}_{of}": term for name, term in objective.terms.items()}
        joint.monitors |= {f"{name}_{of}": value for name, value in objective.monitors.items()}
    return joint
