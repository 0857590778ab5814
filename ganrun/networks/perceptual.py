"""A distance as people see it: how far apart two pictures are in the features of VGG19 (Ledig et al., 2017)."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import vgg19

CONVOLUTIONS = (2, 2, 4, 4, 4)  # of VGG19's five blocks, each followed by a pooling (Simonyan & Zisserman, 2015)
DEPTHS = {  # conv5_4 -> how many of torchvision's layers there are up to it and its ReLU
    f"conv{block}_{number}": 2 * (sum(CONVOLUTIONS[: block - 1]) + number) + block - 1
    for block, count in enumerate(CONVOLUTIONS, 1)
    for number in range(1, count + 1)
}
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, of images in [0, 1]
RESCALED = 12.75  # what section 3.2 divides the features by, to be of the scale of the pixels' squared error


class Unreadable(OSError):
    """A module's file that cannot be used. `owner` is the module, so that the caller can name the module's key."""

    def __init__(self, owner: nn.Module, reason: str) -> None:
        super().__init__(reason)
        self.owner = owner


class VGGDistance(nn.Module):
    """The mean of (φ(x) − φ(y))², φ the features after `layer` and its ReLU, divided by 12.75 (equation 5).

    `weights`: a file with the state dict of torchvision's vgg19, or of its layers as far as `layer`. It is opened when
    a distance is first asked for, and the network is neither trained nor part of a checkpoint: a trained run draws
    without the file. Raises ValueError for an unknown layer; the first call raises `Unreadable` for a file that is
    not there or holds something else, and each call ValueError for pictures of which the poolings leave nothing.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, weights: str, layer: str = "conv5_4") -> None:
        super().__init__()
        if layer not in DEPTHS:
            raise ValueError(f"layer={layer} must be one of {', '.join(DEPTHS)}")
        self.weights, self.layer, self.depth = weights, layer, DEPTHS[layer]
        self.opened: list[nn.Module] = []  # in a list, where neither checkpoints nor optimizers look
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(3, 1, 1), persistent=False)

    def forward(self, images: Tensor, targets: Tensor) -> Tensor:
        """(N, C, H, W), (N, C, H, W) in [-1, 1], 1 or 3 channels -> (), no gradient to the targets."""
        self.require_pixels(images)
        features = self.network(images.device)
        with torch.no_grad():
            wanted = features(self.normalised(targets))
        return F.mse_loss(features(self.normalised(images)).float(), wanted.float()) / RESCALED**2

    def require_pixels(self, images: Tensor) -> None:
        """Each block before that of `layer` halves the sides: conv5_4 needs 16 pixels. Raises ValueError."""
        height, width = images.shape[2:]
        need = 2 ** (int(self.layer[4]) - 1)
        if min(height, width) < need:
            fitting = [layer for layer in DEPTHS if 2 ** (int(layer[4]) - 1) <= min(height, width)]
            raise ValueError(
                f"VGGDistance.layer={self.layer} needs sides of {need} pixels or more, and these pictures have "
                f"{height}×{width}: use layer={fitting[-1]}"
            )

    def normalised(self, images: Tensor) -> Tensor:
        """(N, 1 or 3, H, W) in [-1, 1] -> (N, 3, H, W) with ImageNet's mean at 0 and its deviation at 1."""
        return ((images.float() + 1) / 2 - self.mean) / self.std

    def network(self, device: torch.device) -> nn.Module:
        """(N, 3, H, W) normalised -> (N, c, h, w), opened once."""
        if not self.opened:
            try:
                self.opened.append(open_features(self.weights, self.depth).to(device))
            except OSError as error:
                raise Unreadable(self, str(error)) from error
        return self.opened[0].to(device)


def open_features(weights: str, depth: int) -> nn.Module:
    """The first `depth` layers of VGG19's features, frozen. Raises OSError."""
    path = Path(weights).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"weights={weights}: there is no such file")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        with torch.device("meta"):  # the classifier behind the features alone would take half a gigabyte
            features = vgg19(weights=None).features[:depth]
        features.load_state_dict({name: state[f"features.{name}"] for name in features.state_dict()}, assign=True)
    except Exception as error:  # whatever the reader trips over, the file is not VGG19's
        reason = f"{type(error).__name__}: {str(error).splitlines()[0]:.80}"
        raise OSError(
            f"weights={weights} cannot be opened as the state dict of torchvision's vgg19 ({reason})"
        ) from error
    return features.float().requires_grad_(False)
