"""Conditional BatchNorm: gain and bias are functions of a class or of a vector (Dumoulin et al., 2017)."""

from __future__ import annotations

from torch import Tensor, nn

from ganrun.common.bounds import Setting, Whole


class ConditionalBatchNorm2d(nn.Module):
    """(1 + γ(y)) x̂ + β(y), x̂ the features normalised over the batch.

    With `classes`, y is a class, and γ and β are tables that begin at 0. With `condition_size`, y is a vector, and γ
    and β are linear without bias (BigGAN: Brock et al., 2019, appendix B). Raises ValueError unless it is one of both.
    """

    def __init__(self, channels: Setting, classes: Whole = 0, condition_size: Whole = 0) -> None:
        super().__init__()
        if (classes > 0) == (condition_size > 0):
            raise ValueError(
                f"classes={classes}, condition_size={condition_size}: conditional BatchNorm needs one of them above 0"
            )
        self.normalise = nn.BatchNorm2d(channels, affine=False)  # a part of its own: ranks share its statistics
        if classes:
            self.gain: nn.Module = zeros(nn.Embedding(classes, channels))
            self.bias: nn.Module = zeros(nn.Embedding(classes, channels))
        else:
            self.gain = nn.Linear(condition_size, channels, bias=False)
            self.bias = nn.Linear(condition_size, channels, bias=False)

    def forward(self, features: Tensor, condition: Tensor) -> Tensor:
        """(N, C, H, W), (N,) classes or (N, condition_size) vectors -> (N, C, H, W)."""
        normal = self.normalise(features)
        gain, bias = (part(condition)[:, :, None, None].to(normal.dtype) for part in (self.gain, self.bias))
        return normal * (1 + gain) + bias


def zeros(table: nn.Embedding) -> nn.Embedding:
    nn.init.zeros_(table.weight)
    return table
