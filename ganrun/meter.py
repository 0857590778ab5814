"""Meter: means of what the turns report, kept on the device until somebody has to read them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


class Meter:
    """Sums of scalar tensors by name. Adding never waits for the device; reading does, once."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}

    def add(self, values: Mapping[str, Tensor]) -> None:
        for name, value in values.items():
            value = value.detach().float()
            self.sums[name] = self.sums[name] + value if name in self.sums else value
            self.counts[name] = self.counts.get(name, 0) + 1

    def read_and_clear(self, step: int) -> dict[str, float]:
        """The mean of each name since the last reading.

        Raises FloatingPointError that names the first value that is not a finite number.
        """
        sums = torch.stack(list(self.sums.values())).tolist() if self.sums else []
        means = {name: total / self.counts[name] for name, total in zip(self.sums, sums, strict=True)}
        self.sums, self.counts = {}, {}
        for name, value in means.items():
            if not math.isfinite(value):
                raise FloatingPointError(
                    f"{name} is {value} at step {step}: try a lower optimizer.lr, or precision=fp32 if it was bf16"
                )
        return means

    def state_dict(self) -> dict[str, Any]:
        return {name: {"sum": self.sums[name], "count": self.counts[name]} for name in self.sums}

    def load_state_dict(self, state: Mapping[str, Any], device: torch.device) -> None:
        self.sums = {name: entry["sum"].to(device) for name, entry in state.items()}
        self.counts = {name: entry["count"] for name, entry in state.items()}
