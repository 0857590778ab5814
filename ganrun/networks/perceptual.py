"""A distance as people see it: how far apart two pictures are in the features of VGG19 (Ledig et al., 2017)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import vgg19

from ganrun.common.bounds import Weight

CONVOLUTIONS = (2, 2, 4, 4, 4)  # of VGG19's five blocks, each followed by a pooling (Simonyan & Zisserman, 2015)
DEPTHS = {  # conv5_4 -> how many of torchvision's layers there are up to it and its ReLU
    f"conv{block}_{number}": 2 * (sum(CONVOLUTIONS[: block - 1]) + number) + block - 1
    for block, count in enumerate(CONVOLUTIONS, 1)
    for number in range(1, count + 1)
}
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, of images in [0, 1]
LAYERS = {"conv1_2": 0.1, "conv2_2": 0.1, "conv3_4": 1.0, "conv4_4": 1.0, "conv5_4": 1.0}  # of Real-ESRGAN
RESCALED = 12.75  # what section 3.2 divides the features by, to be of the scale of the pixels' squared error


class Unreadable(OSError):
    """A module's file that cannot be used. `owner` is the module, so that the caller can name the module's key."""

    def __init__(self, owner: nn.Module, reason: str) -> None:
        super().__init__(reason)
        self.owner = owner


class OfVGG(nn.Module):
    """A distance by VGG19's features as far as a layer.

    `weights`: a file with the state dict of torchvision's vgg19, or of its layers as far as `layer`. It is opened when
    a distance is first asked for, and the network is neither trained nor part of a checkpoint: a trained run draws
    without the file. Raises ValueError for an unknown layer; the first call raises `Unreadable` for a file that is
    not there or holds something else, and each call ValueError for pictures of which the poolings leave nothing.
    """

    mean: Tensor
    std: Tensor
    setting = "layer"  # what names the layers

    def __init__(self, weights: str | None, layer: str) -> None:
        super().__init__()
        if layer not in DEPTHS:
            raise ValueError(f"{self.setting}={layer} must be one of {', '.join(DEPTHS)}")
        self.weights, self.layer, self.depth = weights, layer, DEPTHS[layer]
        self.opened: list[nn.Sequential] = []  # in a list, where neither checkpoints nor optimizers look
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(3, 1, 1), persistent=False)

    def require_pixels(self, images: Tensor) -> None:
        """Each block before that of `layer` halves the sides: conv5_4 needs 16 pixels. Raises ValueError."""
        height, width = images.shape[2:]
        need = 2 ** (int(self.layer[4]) - 1)
        if min(height, width) < need:
            fitting = [layer for layer in DEPTHS if 2 ** (int(layer[4]) - 1) <= min(height, width)]
            raise ValueError(
                f"{type(self).__name__}.{self.setting}={self.layer} needs sides of {need} pixels or more, and these "
                f"pictures have {height}×{width}: use {self.setting}={fitting[-1]}"
            )

    def normalised(self, images: Tensor) -> Tensor:
        """(N, 1 or 3, H, W) in [-1, 1] -> (N, 3, H, W) with ImageNet's mean at 0 and its deviation at 1."""
        return ((images.float() + 1) / 2 - self.mean) / self.std

    def network(self, device: torch.device) -> nn.Sequential:
        """(N, 3, H, W) normalised -> (N, c, h, w), opened once."""
        if not self.opened:
            try:
                if self.weights is None:
                    raise FileNotFoundError("weights=FILE is needed: a state dict of torchvision's vgg19")
                self.opened.append(open_features(self.weights, self.depth).to(device))
            except OSError as error:
                raise Unreadable(self, str(error)) from error
        return self.opened[0].to(device)


class VGGDistance(OfVGG):
    """The mean of (φ(x) − φ(y))², φ the features after `layer` and its ReLU, divided by 12.75 (equation 5).

    The file and what is raised are as in `OfVGG`.
    """

    def __init__(self, weights: str, layer: str = "conv5_4") -> None:
        super().__init__(weights, layer)

    def forward(self, images: Tensor, targets: Tensor) -> Tensor:
        """(N, C, H, W), (N, C, H, W) in [-1, 1], 1 or 3 channels -> (), no gradient to the targets."""
        self.require_pixels(images)
        features = self.network(images.device)
        with torch.no_grad():
            wanted = features(self.normalised(targets))
        return F.mse_loss(features(self.normalised(images)).float(), wanted.float()) / RESCALED**2


class VGGLayers(OfVGG):
    """Σ w_l · mean |φ_l(x) − φ_l(y)|, φ_l the features of a layer before its ReLU, of several layers.

    layers: {name of the layer: w_l}; by default Real-ESRGAN's, .1, .1, 1, 1, 1 (Wang et al., 2021, section 4.1). The
    features before the ReLU are ESRGAN's (Wang et al., 2018, section 3.3). A layer with the weight 0 is not computed.
    The file and what is raised are as in `OfVGG`; ValueError also where no layer has a weight.
    """

    setting = "layers"

    def __init__(self, weights: str | None = None, layers: Mapping[str, Weight] | None = None) -> None:
        wanted = {name: float(weight) for name, weight in (layers or LAYERS).items() if weight}
        if not wanted:
            raise ValueError("layers: give at least one layer a weight above 0, or use model.perceptual=none")
        super().__init__(weights, max(wanted, key=lambda name: DEPTHS.get(name, len(DEPTHS) ** 2)))
        # in the order of the network, in which `features` yields them; DEPTHS counts the ReLU
        self.layers = {DEPTHS[name] - 1: wanted[name] for name in DEPTHS if name in wanted}

    def forward(self, images: Tensor, targets: Tensor) -> Tensor:
        """(N, C, H, W), (N, C, H, W) in [-1, 1], 1 or 3 channels -> (), no gradient to the targets."""
        self.require_pixels(images)
        with torch.no_grad():
            wanted = list(self.features(targets))
        pairs = zip(self.layers.items(), self.features(images), wanted, strict=True)
        return torch.stack([weight * F.l1_loss(one, other) for (_, weight), one, other in pairs]).sum()

    def features(self, images: Tensor) -> Iterator[Tensor]:
        """(N, C, H, W) in [-1, 1] -> (N, c, h, w) float32 for each layer, from the first on."""
        x = self.normalised(images)
        for depth, layer in enumerate(self.network(images.device), 1):
            x = F.relu(x) if isinstance(layer, nn.ReLU) else layer(x)  # torchvision's ReLU would overwrite a feature
            if depth in self.layers:
                yield x.float()


def open_features(weights: str, depth: int) -> nn.Sequential:
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
