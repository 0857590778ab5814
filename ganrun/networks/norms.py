"""Normalisations that a yaml names: a layer after each convolution, or a bound on each weight."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from torch import nn

from ganrun.networks.init import WEIGHTED, init_he_, init_normal_
from ganrun.networks.spectral import spectral_norm


class Norm(NamedTuple):
    """`layer` makes what follows a convolution of so many channels; `weight` changes a module's weight in place.

    vector: what takes the layer's place where the pictures have one pixel; None: the layer itself.
    """

    layer: Callable[[int], nn.Module] = nn.Identity
    weight: Callable[[nn.Module], nn.Module] | None = None
    vector: Callable[[int], nn.Module] | None = None

    @property
    def of_vectors(self) -> Norm:
        """The same norm for (N, C, 1, 1)."""
        return self if self.vector is None else self._replace(layer=self.vector)

    def init_(self, network: nn.Module) -> None:
        """First weights of DCGAN's N(0, .02), which a norm scales up again; without one, such as keep the signal."""
        (init_he_ if self.layer is nn.Identity and self.weight is None else init_normal_)(network)

    @property
    def bias(self) -> bool:
        """Whether the convolution before the layer needs a bias: a norm subtracts it and adds its own."""
        return self.layer is nn.Identity

    def bound_(self, network: nn.Module, embeddings: bool = False) -> None:
        """Bounds every weight of the network, if this norm does. Last: it remembers the weights it finds."""
        bounded = (*WEIGHTED, nn.Embedding) if embeddings else WEIGHTED
        for module in list(network.modules()):
            if self.weight is not None and isinstance(module, bounded):
                self.weight(module)


NORMS = {
    "batch": Norm(nn.BatchNorm2d),
    # the instance norm of one pixel would be 0
    "instance": Norm(partial(nn.InstanceNorm2d, affine=True), vector=nn.Identity),
    "layer": Norm(partial(nn.GroupNorm, 1)),
    "none": Norm(),
    "spectral": Norm(weight=spectral_norm),  # Miyato et al., 2018
}


def find_norm(name: str) -> Norm:
    """Raises ValueError with the names there are."""
    if name not in NORMS:
        raise ValueError(f"norm={name!r} is none of: {', '.join(NORMS)}")
    return NORMS[name]
