"""Equality of nested states, to the last bit."""

from __future__ import annotations

from typing import Any

import torch


def differences(a: Any, b: Any, where: str = "state") -> list[str]:
    """The places where two nested containers differ; tensors are compared bit for bit."""
    if isinstance(a, dict) and isinstance(b, dict):
        if a.keys() != b.keys():
            return [f"{where}: keys {sorted(map(str, a.keys() ^ b.keys()))}"]
        return [place for key in a for place in differences(a[key], b[key], f"{where}.{key}")]
    if isinstance(a, list) and isinstance(b, list):
        if len(a) != len(b):
            return [f"{where}: {len(a)} and {len(b)} items"]
        return [place for i in range(len(a)) for place in differences(a[i], b[i], f"{where}[{i}]")]
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        return [] if a.dtype == b.dtype and torch.equal(a, b) else [where]
    return [] if a == b else [f"{where}: {a!r} and {b!r}"]
