"""Synchronised BatchNorm: statistics of the whole batch where it is spread over ranks, also on the CPU."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class Summed(torch.autograd.Function):
    """The sum over all ranks. Its gradient is that of all ranks' objectives together, and differentiable again."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        total = tensor.detach().clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return Summed.apply(gradients[0])


class SyncedBatchNorm(_BatchNorm):
    """BatchNorm whose training statistics are those of all ranks' images; each rank has equally many.

    Takes over from nn.BatchNorm1d, 2d and 3d with their weights, buffers and names (see `synchronise_`).
    """

    def _check_input_dim(self, input: Tensor) -> None: ...

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, ...) -> the same shape and type."""
        if not self.training:
            return super().forward(input)
        with torch.autocast(input.device.type, enabled=False):
            x = input if input.dtype == torch.float64 else input.float()
            dims = [dim for dim in range(x.ndim) if dim != 1]
            shape = [1, -1] + [1] * (x.ndim - 2)
            mean, variance = self.statistics(x, dims)
            normal = (x - mean.view(shape)) * (variance + self.eps).rsqrt().view(shape)
            if self.affine:
                normal = normal * self.weight.view(shape) + self.bias.view(shape)
        return normal.to(input.dtype)

    def statistics(self, x: Tensor, dims: list[int]) -> tuple[Tensor, Tensor]:
        """(N, C, ...) -> (C,) mean and (C,) biased variance over all ranks; the running ones move."""
        variance, mean = torch.var_mean(x, dims, correction=0)
        ranks, rank = dist.get_world_size(), dist.get_rank()
        # each rank fills in its row: mean of squares minus square of means would lose what float32 has
        rows = torch.zeros(ranks, 2, len(mean), dtype=x.dtype, device=x.device)
        rows[rank] = torch.stack([mean, variance])
        means, variances = Summed.apply(rows).unbind(1)
        mean = means.mean(0)
        variance = variances.mean(0) + (means - mean).square().mean(0)
        self.remember(mean.detach(), variance.detach(), ranks * x.numel() // x.shape[1])
        return mean, variance

    @torch.no_grad()
    def remember(self, mean: Tensor, variance: Tensor, count: int) -> None:
        """As nn.BatchNorm does: the unbiased variance, and a plain mean over all batches where momentum is None."""
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked += 1
        share = 1 / self.num_batches_tracked if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), share)
        self.running_var.lerp_((variance * (count / (count - 1))).to(self.running_var.dtype), share)


def synchronise_(module: nn.Module) -> None:
    """Give every BatchNorm within the module the statistics of all ranks; weights, buffers and names stay."""
    for part in module.modules():
        if type(part) in (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d):
            part.__class__ = SyncedBatchNorm
