"""Gradient clipping by norm, on the device: nothing waits for it."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn


def clip_(weights: Sequence[Tensor], most: float) -> None:
    """g <- g · min(1, most / (|g| + 1e-6)), g the gradients of all weights as one vector (Pascanu et al., 2013)."""
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    nn.utils.clip_grads_with_norm_(weights, most, nn.utils.get_total_norm(gradients))
