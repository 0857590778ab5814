"""First weights: the distributions that papers draw them from."""

from __future__ import annotations

from torch import nn

WEIGHTED = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.InstanceNorm2d, nn.GroupNorm)


def init_normal_(network: nn.Module, std: float = 0.02) -> None:
    """Weights ~ N(0, std), scales of normalisation layers ~ N(1, std), biases 0 (Radford et al., 2016, section 4)."""
    for module in network.modules():
        if isinstance(module, WEIGHTED):
            nn.init.normal_(module.weight, 0.0, std)
        elif isinstance(module, NORMS):
            nn.init.normal_(module.weight, 1.0, std)
        if isinstance(module, WEIGHTED + NORMS) and module.bias is not None:
            nn.init.zeros_(module.bias)


def init_glorot_(network: nn.Module) -> None:
    """Weights ~ U(-a, a) with a = sqrt(6 / (fan in + fan out)), biases 0 (Glorot & Bengio, 2010): Keras's default."""
    for module in network.modules():
        if isinstance(module, WEIGHTED):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def init_he_(network: nn.Module, slope: float = 0.2) -> None:
    """Weights ~ N(0, 2 / ((1 + slope²) fan in)), biases 0: LeakyReLU keeps the signal's size (He et al., 2015)."""
    for module in network.modules():
        if isinstance(module, WEIGHTED):
            nn.init.kaiming_normal_(module.weight, slope)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def init_residual_(network: nn.Module) -> None:
    """Glorot's weights, those of 3×3 kernels times √2 for the ReLU before them, biases 0 (Gulrajani et al., 2017)."""
    init_glorot_(network)
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3):
            nn.init.xavier_uniform_(module.weight, gain=2**0.5)


def init_orthogonal_(network: nn.Module) -> None:
    """Orthogonal weights, also of tables, biases 0 (Saxe et al., 2014; Brock et al., 2019)."""
    for module in network.modules():
        if isinstance(module, (*WEIGHTED, nn.Embedding)):
            nn.init.orthogonal_(module.weight)
        if isinstance(module, WEIGHTED) and module.bias is not None:
            nn.init.zeros_(module.bias)
