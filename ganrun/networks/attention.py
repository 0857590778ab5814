"""Self-attention: each place of a feature map looks at all others (Zhang et al., 2019)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganrun.common.bounds import Setting


class SelfAttention2d(nn.Module):
    """x + γ · W_v Σ_j softmax_j(f(x_j)ᵀ g(x_i)) h(x_j) (equations 1 to 3); γ begins at 0, so it begins as the identity.

    f and g have an eighth of the channels, h has half. f and h are max-pooled by 2, as in the authors' experiments.
    """

    couples_images = False

    def __init__(self, channels: Setting) -> None:
        super().__init__()
        few, half = max(1, channels // 8), max(1, channels // 2)
        self.query = nn.Conv2d(channels, few, 1, bias=False)
        self.key = nn.Conv2d(channels, few, 1, bias=False)
        self.value = nn.Conv2d(channels, half, 1, bias=False)
        self.out = nn.Conv2d(half, channels, 1, bias=False)
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)"""
        query = self.query(features).flatten(2)  # (N, C/8, HW)
        key = F.max_pool2d(self.key(features), 2).flatten(2)  # (N, C/8, HW/4)
        value = F.max_pool2d(self.value(features), 2).flatten(2)  # (N, C/2, HW/4)
        # torch's fused attention has no second derivative, which penalties need
        looks = torch.bmm(query.transpose(1, 2), key).softmax(2)  # (N, HW, HW/4)
        seen = torch.bmm(value, looks.transpose(1, 2)).unflatten(2, features.shape[2:])
        return features + self.gamma.to(features.dtype) * self.out(seen)
