"""Spectral normalization: a weight divided by its largest singular value (Miyato et al., 2018)."""

from __future__ import annotations

import contextlib

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize


def spectral_norm(module: nn.Module) -> nn.Module:
    """Bounds `module.weight` in place. The weight must not be all zeros: σ would be 0."""
    rows = 1 if isinstance(module, nn.ConvTranspose2d) else 0  # where a weight has its outputs
    parametrize.register_parametrization(module, "weight", SpectralNorm(module.weight, rows))  # type: ignore[arg-type]
    return module


class SpectralNorm(nn.Module):
    """W / σ(W), σ(W) = uᵀ W v: each forward pass in training moves u and v by one power iteration (algorithm 1).

    Computes in float32 under autocast, too. Outside of training it iterates once from the stored u and forgets the
    result: a weight average also averages u and v, which leaves them shorter than 1. Its state has the names that
    torch.nn.utils.parametrizations.spectral_norm gives it, so either opens the other's checkpoints.
    """

    _u: Tensor
    _v: Tensor

    def __init__(self, weight: Tensor, rows: int = 0) -> None:
        super().__init__()
        self.rows = rows
        matrix = self.matrix(weight.detach())
        u, v = (matrix.new_empty(size).normal_() for size in matrix.shape)
        for _ in range(0 if weight.is_meta else 15):  # so that the first passes are near already; |v| does not matter
            u, v = iterate(matrix, v)
        self.register_buffer("_u", u)
        self.register_buffer("_v", v)

    def matrix(self, weight: Tensor) -> Tensor:
        """(outputs, inputs, ...) -> (outputs, all others); `rows` is the place of the outputs."""
        return weight.transpose(0, self.rows).flatten(1)

    def forward(self, weight: Tensor) -> Tensor:
        """A weight -> the same shape, with a largest singular value of about 1."""
        with in_full_precision(weight):
            matrix = self.matrix(weight)
            u, v = iterate(matrix.detach(), self._v)
            if self.training:
                self._u.copy_(u)
                self._v.copy_(v)
            return weight / torch.dot(u, torch.mv(matrix, v))


def iterate(matrix: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """One power iteration: u = W v / |W v|, v = Wᵀ u / |Wᵀ u|."""
    u = F.normalize(torch.mv(matrix, v), dim=0)
    return u, F.normalize(torch.mv(matrix.T, u), dim=0)


def in_full_precision(tensor: Tensor) -> contextlib.AbstractContextManager[object]:
    """Within it autocast is off; meta tensors have none to switch off."""
    return contextlib.nullcontext() if tensor.is_meta else torch.autocast(tensor.device.type, enabled=False)
