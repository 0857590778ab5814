"""Objective: the result of a player's turn, which the trainer minimises."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor


@dataclass
class Objective:
    """`terms` are scalars that are summed and minimised; `monitors` are detached scalars that are only logged.

    `real_logits` are (N, ...) the discriminator's logits of N reals, in its own turns, for an augmentation that adapts:
    a logit or a map of logits for each image. The images of a pack share theirs.
    """

    terms: dict[str, Tensor]
    monitors: dict[str, Tensor] = field(default_factory=dict)
    real_logits: Tensor | None = None

    @property
    def total(self) -> Tensor:
        """() the sum of the terms, which is minimised."""
        terms = list(self.terms.values())
        return sum(terms[1:], start=terms[0])


def side_by_side(objectives: Mapping[str, Objective]) -> Objective:
    """One objective with the terms and monitors of several: {"a": ..., "b": ...} gives adversarial_a, adversarial_b."""
    joint = Objective({})
    for suffix, objective in objectives.items():
        joint.terms |= {f"{name}_{suffix}": term for name, term in objective.terms.items()}
        joint.monitors |= {f"{name}_{suffix}": value for name, value in objective.monitors.items()}
    return joint
