"""Average: the exponential moving average (EMA) of the weights that pictures are drawn with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Average:
    """Averages every float parameter and buffer of `module`. `half_life` is in thousands of images.

    Buffers are averaged too: for averaged weights, averaged BatchNorm statistics fit better than the last ones. The
    decay is smaller at first, so that the random first weights are forgotten soon: min(decay, (1 + n) / (10 + n))
    after n updates, as in TensorFlow.
    """

    def __init__(self, module: nn.Module, half_life: float, batch_size: int) -> None:
        if half_life < 0:
            raise ValueError(f"average.half_life={half_life} kimg must not be negative; 0 follows the weights at once")
        self.decay = 0.5 ** (batch_size / (1000 * half_life)) if half_life else 0.0
        self.live = dict(module.state_dict(keep_vars=True))
        self.copy = {name: tensor.detach().clone() for name, tensor in self.live.items()}
        self.floats = [name for name, tensor in self.live.items() if tensor.is_floating_point()]
        self.counters = [name for name in self.live if name not in self.floats]

    def update(self, updates: int) -> None:
        """Move the copy towards the weights; `updates` counts the steps taken so far."""
        decay = min(self.decay, (1 + updates) / (10 + updates))
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
