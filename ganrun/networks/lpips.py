"""LPIPS: a distance as people see it, from features with learnt weights (Zhang et al., 2018)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torchvision.models import alexnet, vgg16

from ganrun.networks.perceptual import MEAN, STD

EPSILON = 1e-10  # beside the length of a feature vector, which may be 0


class Kind(NamedTuple):
    """build: makes torchvision's network. taps: its layers whose outputs are compared, all of them ReLUs.

    channels: of these outputs. least: pixels of the smallest picture of which every tap keeps something.
    """

    build: Callable[..., Any]
    taps: tuple[int, ...]
    channels: tuple[int, ...]
    least: int


KINDS = {
    "alex": Kind(alexnet, (1, 4, 7, 9, 11), (64, 192, 384, 256, 256), 31),
    "vgg": Kind(vgg16, (3, 8, 15, 22, 29), (64, 128, 256, 512, 512), 16),
}


class LPIPS(nn.Module):
    """d(x, y) = Σ_l mean over pixels of Σ_c w_lc (x̂_lc − ŷ_lc)² (equation 1, whose weights are the roots of these).

    x̂_l are the features after tap l, and those of a pixel are scaled to unit length. features: the layers up to the
    last tap. weights: for each tap (1, C, 1, 1) numbers from 0 up. Nothing here is trained.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, kind: str, features: nn.Sequential, weights: Sequence[Tensor]) -> None:
        super().__init__()
        self.kind, self.features = kind, features.eval().requires_grad_(False)
        self.taps = len(weights)
        for number, weight in enumerate(weights):
            self.register_buffer(f"weight{number}", weight.float())
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1))
        self.register_buffer("std", torch.tensor(STD).view(3, 1, 1))

    def forward(self, images: Tensor, targets: Tensor) -> Tensor:
        """Twice (N, 1 or 3, H, W) in [-1, 1] -> (N,) distances. Raises ValueError for pictures that are too small."""
        least = KINDS[self.kind].least
        if min(images.shape[2:]) < least:
            raise ValueError(f"LPIPS of {self.kind} needs sides of at least {least} pixels")
        distance = torch.zeros(len(images), device=images.device)
        for number, (x, y) in enumerate(zip(self.unit(images), self.unit(targets), strict=True)):
            weighted = getattr(self, f"weight{number}") * (x - y).square()
            distance = distance + weighted.sum(1).mean((1, 2))
        return distance

    def unit(self, images: Tensor) -> list[Tensor]:
        """(N, 1 or 3, H, W) in [-1, 1] -> for each tap (N, C, h, w) features, those of a pixel of length 1."""
        found, x = [], ((images.float() + 1) / 2 - self.mean) / self.std
        for number, layer in enumerate(self.features):
            x = layer(x)
            if number in KINDS[self.kind].taps:
                found.append(x / (x.norm(dim=1, keepdim=True) + EPSILON))
        return found


def open_lpips(files: Sequence[str]) -> LPIPS:
    """The network of two files, in either order: torchvision's alexnet or vgg16, and the linear weights for it.

    No code in a file can run. Raises ValueError in one line for files that are something else, or do not go together.
    """
    if len(files) != 2:
        raise ValueError(f"needs two files, a network and its linear weights, and there are {len(files)}")
    backbone, linear = None, None
    for file in files:
        state = read(file)
        network, weights = kind_of_network(state), kind_of_weights(state)
        if network:
            backbone = network, state
        elif weights:
            linear = weights, state
        else:
            raise ValueError(f"{file} is neither torchvision's alexnet or vgg16 nor the linear weights of LPIPS")
    if backbone is None or linear is None:
        missing = "a network, torchvision's alexnet or vgg16" if backbone is None else "the linear weights of LPIPS"
        raise ValueError(f"{' and '.join(files)}: neither file has {missing}")
    if backbone[0] != linear[0]:
        raise ValueError(f"the network is {backbone[0]}, but the linear weights are those for {linear[0]}")
    kind, state = backbone
    features = empty(kind)
    features.load_state_dict({name: state[f"features.{name}"] for name in features.state_dict()}, assign=True)
    return LPIPS(kind, features.float(), [linear[1][name] for name in linear_names(kind)])


def read(file: str) -> Mapping[str, Tensor]:
    """The tensors of a file. Raises ValueError."""
    path = Path(file).expanduser()
    if not path.is_file():
        raise ValueError(f"{file}: there is no such file")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever the reader trips over, the file holds no weights
        reason = f"{type(error).__name__}: {' '.join(str(error).split()):.80}"
        raise ValueError(f"{file} cannot be opened as weights ({reason})") from None
    if not isinstance(state, dict):
        raise ValueError(f"{file} holds no list of weights")
    return {str(name): tensor for name, tensor in state.items() if isinstance(tensor, Tensor)}


def empty(kind: str) -> nn.Sequential:
    """The layers up to the last tap, without numbers."""
    with torch.device("meta"):
        layers = KINDS[kind].build(weights=None).features
    return layers[: KINDS[kind].taps[-1] + 1]


def linear_names(kind: str) -> list[str]:
    return [f"lin{number}.model.1.weight" for number in range(len(KINDS[kind].taps))]


def kind_of_network(state: Mapping[str, Tensor]) -> str:
    """alex, vgg, or "" for tensors that are no such network."""
    given = {name: tuple(tensor.shape) for name, tensor in state.items() if name.startswith("features.")}
    for kind in KINDS:
        if given == {f"features.{name}": tuple(tensor.shape) for name, tensor in empty(kind).state_dict().items()}:
            return kind
    return ""


def kind_of_weights(state: Mapping[str, Tensor]) -> str:
    """alex, vgg, or "" for tensors that are no linear weights of either."""
    for kind, about in KINDS.items():
        shapes = [tuple(state[name].shape) if name in state else () for name in linear_names(kind)]
        if shapes == [(1, count, 1, 1) for count in about.channels]:
            return kind
    return ""
