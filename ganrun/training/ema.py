"""Average: the exponential moving average (EMA) of the weights that pictures are drawn with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ganrun.common.schedules import half_cosine
from ganrun.common.types import Config


class Average:
    """Averages every float parameter and buffer of `module`. `half_life` is in thousands of images.

    Buffers are averaged too: for averaged weights, averaged BatchNorm statistics fit better than the last ones. The
    decay is smaller at first, so that the random first weights are forgotten soon: min(decay, (1 + n) / (10 + n))
    after n updates, as in TensorFlow. With `start`, another half-life, the half-life goes from there to `half_life` by
    half a cosine while the run's progress goes from 0 to 1 (Huang et al., 2024).
    """

    def __init__(self, module: nn.Module, half_life: float, batch_size: int, start: float | None = None) -> None:
        for key, given in (("half_life", half_life), ("half_life_start", start or 0)):
            if given < 0:
                raise ValueError(f"average.{key}={given} kimg must not be negative; 0 follows the weights at once")
        self.half_life, self.batch_size, self.start = half_life, batch_size, start
        self.live = dict(module.state_dict(keep_vars=True))
        self.copy = {name: tensor.detach().clone() for name, tensor in self.live.items()}
        self.floats = [name for name, tensor in self.live.items() if tensor.is_floating_point()]
        self.counters = [name for name in self.live if name not in self.floats]

    def decay(self, progress: float = 1.0) -> float:
        """The part of the copy that an update keeps: half of it is left after a half-life."""
        half_life = self.half_life if self.start is None else half_cosine(progress, self.start, self.half_life)
        return 0.5 ** (self.batch_size / (1000 * half_life)) if half_life else 0.0

    def update(self, updates: int, progress: float = 1.0) -> None:
        """Move the copy towards the weights. `updates` counts the steps taken so far."""
        decay = min(self.decay(progress), (1 + updates) / (10 + updates))
        with torch.no_grad():
            live = [self.live[name].detach() for name in self.floats]
            torch._foreach_lerp_([self.copy[name] for name in self.floats], live, 1 - decay)
            if self.counters:
                counted = [self.live[name] for name in self.counters]
                torch._foreach_copy_([self.copy[name] for name in self.counters], counted)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within this block the module has the averaged weights. Tensors are swapped, not copied."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _swap(self) -> None:
        for name, tensor in self.live.items():
            tensor.data, self.copy[name].data = self.copy[name].data, tensor.data

    def state_dict(self) -> dict[str, Tensor]:
        return dict(self.copy)

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Raises KeyError when a tensor is missing."""
        for name, tensor in self.copy.items():
            tensor.copy_(state[name])


def average_of(config: Config, module: nn.Module) -> Average:
    """The average that a run's config asks for. Configs of earlier versions lack half_life_start."""
    node = config["average"]
    return Average(module, node["half_life"], config["batch_size"], node.get("half_life_start"))
