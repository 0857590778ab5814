"""Meter: means of the numbers that turns report, on the device until they are read."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ganrun.training.nonfinite import remedies


class Meter:
    """Sums of scalar tensors by name. Adding never waits for the device; reading does, once.

    Clearing keeps the memory of the sums: a CUDA graph adds to the same addresses at each replay. `bf16`: the run uses
    bf16.
    """

    def __init__(self, bf16: bool = False) -> None:
        self.bf16 = bf16
        self.sums: dict[str, Tensor] = {}
        self.counts: Counter[str] = Counter()

    def add(self, values: Mapping[str, Tensor]) -> None:
        for name, value in values.items():
            if name not in self.sums:
                self.sums[name] = torch.zeros((), device=value.device)
        self.counts.update(values.keys())
        torch._foreach_add_([self.sums[name] for name in values], [value.detach().float() for value in values.values()])

    def read_and_clear(self, step: int) -> dict[str, float]:
        """The mean of each name since the last reading.

        Raises FloatingPointError with the name of the first mean that is not a finite number.
        """
        names = list(self.counts)
        sums = [self.sums[name] for name in names]
        means = {name: total / self.counts[name] for name, total in zip(names, read(sums), strict=True)}
        self.counts = Counter()
        if sums:
            torch._foreach_zero_(sums)
        for name, value in means.items():
            if not math.isfinite(value):
                raise FloatingPointError(f"{name} is {value} at step {step}: try {remedies(self.bf16)}")
        return means

    def state_dict(self) -> dict[str, Any]:
        return {name: {"sum": self.sums[name], "count": self.counts[name]} for name in self.counts}

    def load_state_dict(self, state: Mapping[str, Any], device: torch.device) -> None:
        self.sums = {name: entry["sum"].to(device, copy=True) for name, entry in state.items()}
        self.counts = Counter({name: entry["count"] for name, entry in state.items()})


def read(scalars: Sequence[Tensor]) -> list[float]:
    """Waits for the device, once for all."""
    return torch.stack(list(scalars)).tolist() if scalars else []
