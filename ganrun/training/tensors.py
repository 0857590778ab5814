"""The tensors that optimizers and systems hold: weights, gradients and states."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer


def weights_of(optimizer: Optimizer) -> list[Tensor]:
    return [weight for group in optimizer.param_groups for weight in group["params"]]


def gradients_of(optimizer: Optimizer) -> list[Tensor]:
    return [weight.grad for weight in weights_of(optimizer) if weight.grad is not None]


def state_of(optimizer: Optimizer) -> dict[str, Any]:
    """Its state dict, the same on a CPU and on a GPU: learning rates as Python floats, not capturable."""
    state = optimizer.state_dict()
    for group in state["param_groups"]:
        if isinstance(group["lr"], Tensor):  # float32 on the device: 2e-4 there is 1.9999999e-4 here
            group["lr"] = float(f"{group['lr'].item():.7g}")
        if "capturable" in group:
            group["capturable"] = False
    return state


def finite(state: Mapping[str, Any]) -> bool:
    """Whether every float of a state dict is a finite number. Waits for the device, once."""
    floats = [tensor.detach() for tensor in state.values() if isinstance(tensor, Tensor) and tensor.is_floating_point()]
    return math.isfinite(nn.utils.get_total_norm(floats, norm_type=1.0).item())
